"""The workflow: what becomes of tickets and runs, whatever the jobs do."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import structlog.testing

from mcu_core.report import AuditReport, ModelName, Verdict
from service import resolution_file
from service.adapters.memory import MemoryObjectStore
from service.domain.canary import batch_of
from service.domain.ledger import LedgerKind
from service.domain.manifest import Split
from service.domain.release import pointer_key, report_key, weights_key
from service.domain.resolution import Resolution
from service.domain.run import FailureKind, Outcome, RunPhase, WorkOrder, attempt_prefix, resolution_key
from service.domain.ticket import TicketState
from service.errors import ObjectStoreUnavailableError
from service.ports import ObjectStore
from tests.attempts import (
    Attempt,
    accept,
    candidate_bytes,
    candidate_digest,
    dies,
    exits,
    fails,
    hides,
    invalid,
    misreports,
    no_trace,
    reject,
    report_of,
    scores_of,
    trace_left,
    vacuous,
)
from tests.canaries import APPENDED_ROWS, CANARY_IDS, COIN_KEY, MANY, planted_row_of
from tests.memory_manifests import ROWS, TRAIN, row_of
from tests.records import LINEAGE, digest_of
from tests.results import POLICY
from tests.world import ATTEMPT_FAILURES, KEY, RETRY_SECONDS, World, world_with_canaries

TRAIN_ROWS = sum(row.split is Split.TRAIN for row in APPENDED_ROWS)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


def told(*attempts: Attempt, **changes: Any) -> tuple[World, Any]:
    """Return the world after one ticket's story, and the ticket as it ended."""
    world = World(*attempts)
    world.register(**changes)
    ticket = world.submit("train-03", "train-11")
    world.drive()
    return world, world.ticket(ticket)


def require_nothing_published(world: World) -> None:
    assert [release.number for release in world.releases()] == [1]
    assert world.pointer()["release"] == 1
    assert world.store.forgotten_rows(LINEAGE) == {}
    assert world.objects.head(weights_key(LINEAGE, 2)) is None
    assert list(world.objects.keys("reports")) == []


def require_nothing_personal_left(world: World) -> None:
    left = {key.rpartition("/")[2] for key in world.objects.keys("runs")}
    documents = {"spec.json", "outcome.json", "progress.json"}
    evidence = {"plan.json", "plan.dsse.json", "report.json", "report.dsse.json"}
    assert left <= documents | evidence


def forgotten_samples(world: World) -> dict[int, int]:
    """Return what people asked for: the rows that were forgotten, canaries left out, each with its release."""
    return {row: release for row, release in world.store.forgotten_rows(LINEAGE).items() if row < len(ROWS)}


# Success


def test_an_accepted_candidate_closes_its_ticket_with_a_release() -> None:
    world, ticket = told(accept)

    assert (ticket.state, ticket.release_number, ticket.reasons) == (TicketState.SUCCEEDED, 2, ())
    first, second = world.releases()
    assert (first.run_id, second.run_id) == (None, ticket.run_id)
    assert second.ticket_ids == (ticket.ticket_id,)
    assert second.forget_count == 2


def test_what_is_published_is_what_was_audited() -> None:
    world, ticket = told(accept)
    run, release = world.run(ticket), world.releases()[1]
    weights = world.objects.read(weights_key(LINEAGE, 2))
    report = AuditReport.model_validate_json(world.objects.read(report_key(LINEAGE, run.run_id, "json")))

    assert weights == candidate_bytes(world.orders[0])
    assert report.subjects.candidate == release.weights_digest == world.pointer()["sha256"]
    assert report.judgement.verdict is Verdict.ACCEPT_CANARY_BACKED
    assert world.pointer()["release"] == 2
    assert world.objects.head(report_key(LINEAGE, run.run_id, "html")) is not None


def test_the_rows_that_were_asked_for_are_forgotten_and_no_others() -> None:
    world, _ = told(accept)

    assert forgotten_samples(world) == {row_of("train-03"): 2, row_of("train-11"): 2}


def test_canaries_of_a_run_are_forgotten_with_it_and_are_in_no_later_d_r() -> None:
    world = world_with_canaries(accept)
    world.register()
    first = world.submit("train-03")
    world.drive()
    forgotten = world.store.forgotten_rows(LINEAGE)
    batch = batch_of(world.store.canaries(LINEAGE), world.run(first).run_id)

    assert forgotten.keys() == {planted_row_of("train-03"), *batch.included}
    assert {row for _, _, row in world.pixels.rows} == forgotten.keys(), "their decoded images go too"
    assert world.releases()[1].forget_count == 1

    world.submit("train-04", request_id="second")
    seen: list[Resolution] = []

    def noting(order: WorkOrder, objects: ObjectStore) -> int:
        seen.append(resolution_in(order, objects))
        return accept(order, objects)

    world.attempts = (noting,)
    world.drive()
    assert set(seen[0].forgotten_before) == forgotten.keys()


def resolution_in(order: WorkOrder, objects: ObjectStore) -> Resolution:
    return resolution_file.decode(objects.read(resolution_key(order.run_id)))


def test_a_job_gets_the_canaries_of_its_run_and_no_id() -> None:
    seen: list[Resolution] = []

    def noting(order: WorkOrder, objects: ObjectStore) -> int:
        seen.append(resolution_in(order, objects))
        assert not any(
            sample_id.encode() in objects.read(key) for key in objects.keys("runs") for sample_id in CANARY_IDS
        )
        return reject(order, objects) if order.epoch == 1 else accept(order, objects)

    world = world_with_canaries(noting)
    world.register()
    ticket = world.submit("train-03")
    world.drive()
    batch = batch_of(world.store.canaries(LINEAGE), world.run(ticket).run_id)

    assert {(found.canary_included, found.canary_excluded) for found in seen} == {(batch.included, batch.excluded)}
    assert {found.digest for found in seen} == {world.run(ticket).spec.resolution_digest}
    assert len(seen) == 2


def test_neither_log_nor_ledger_nor_report_names_a_canary_or_the_key() -> None:
    with structlog.testing.capture_logs() as logs:
        world = world_with_canaries(dies, reject, fails(FailureKind.TRANSIENT), accept)
        world.register()
        ticket = world.submit("train-03")
        world.drive()
    report = world.objects.read(report_key(LINEAGE, world.run(ticket).run_id, "json"))
    told = f"{logs} {world.ledger()} {report!r} {world.run(ticket)} {world.store.model(LINEAGE)} {world.registration}"

    assert world.ticket(ticket).state is TicketState.SUCCEEDED
    assert not any(secret in told for secret in (*CANARY_IDS, COIN_KEY.hex(), repr(COIN_KEY)))


def test_what_holds_deleted_samples_is_purged_with_the_run() -> None:
    world, _ = told(reject, accept)

    require_nothing_personal_left(world)


def test_decoded_images_of_forgotten_samples_are_erased_after_the_release() -> None:
    world, _ = told(reject, accept)
    digest = world.registration.manifest_digest

    assert world.pixels.rows == {(LINEAGE, digest, row) for row in world.store.forgotten_rows(LINEAGE)}
    assert set(forgotten_samples(world)) == {row_of("train-03"), row_of("train-11")}


def test_a_run_that_released_nothing_erases_no_decoded_image() -> None:
    world, ticket = told(reject)

    assert ticket.state is TicketState.NEEDS_ATTENTION
    assert world.pixels.rows == set()


def test_the_ledger_tells_the_story_without_an_id_of_a_sample() -> None:
    world, ticket = told(accept)
    kinds = [entry.kind for entry in world.ledger()]

    assert kinds[0] is LedgerKind.MODEL_REGISTERED
    assert kinds.index(LedgerKind.VERDICT) < kinds.index(LedgerKind.RELEASED)
    assert not any(sample_id in str(world.ledger()) for sample_id in TRAIN)
    assert str(ticket.ids_commitment) in str(world.ledger())


def test_no_id_of_a_sample_leaves_the_store() -> None:
    world, _ = told(reject, accept)

    stored = b"".join(world.objects.read(key) for key in world.objects.keys(""))
    assert not any(sample_id.encode() in stored for sample_id in TRAIN)


def test_the_order_holds_all_that_the_worker_may_know() -> None:
    world, ticket = told(accept)
    (order,) = world.orders
    run = world.run(ticket)

    assert order.spec == run.spec
    assert order.split_key == KEY.split_key(run.spec.manifest_digest)
    assert (order.epoch, order.rung_index, order.plan.audits_before, order.previous_attempts) == (1, 0, 0, ())
    assert order.spec.policy == POLICY


def test_the_observer_hears_every_phase_once_and_the_end() -> None:
    world, _ = told(accept)

    assert [phase for phase, _ in world.observed.phases] == [
        RunPhase.PENDING, RunPhase.RESOLVING, RunPhase.UNLEARNING, RunPhase.AUDITING, RunPhase.PUBLISHING,
    ]  # fmt: skip
    assert sum(seconds for _, seconds in world.observed.phases) == RETRY_SECONDS * 2
    assert world.observed.closed == [(RunPhase.COMMITTED, None)]
    assert [(report.subjects.lineage, report.evidence.models[-1].name) for report in world.observed.audited] == [
        (LINEAGE, ModelName.MCU_BETA)
    ]


def test_a_second_run_starts_from_the_first_ones_release() -> None:
    world, _ = told(accept)
    second = world.submit("train-05", request_id="second")
    world.drive()

    spec = world.run(second).spec
    assert (spec.sequence, spec.base_release, spec.base_model_digest) == (2, 2, world.releases()[1].weights_digest)
    assert [release.number for release in world.releases()] == [1, 2, 3]
    assert world.store.forgotten_rows(LINEAGE)[row_of("train-05")] == 3
    assert world.pointer()["release"] == 3
    assert world.ticket(second).release_number == 3


# The ladder


def test_a_rejected_candidate_climbs_the_ladder_rung_by_rung_at_half_the_level() -> None:
    world, ticket = told(reject, reject, accept)

    assert ticket.state is TicketState.SUCCEEDED
    assert [(order.epoch, order.rung_index, order.plan.audits_before) for order in world.orders] == [
        (1, 0, 0), (2, 1, 1), (3, 2, 2),
    ]  # fmt: skip
    assert [order.pathway_epoch for order in world.orders] == [None, 1, 1]
    alphas = [_report(world, order).judgement.alpha for order in world.orders]
    assert alphas == [POLICY.alpha, POLICY.alpha / 2, POLICY.alpha / 4]


def test_every_earlier_attempt_stands_in_the_next_report() -> None:
    world, ticket = told(reject, reject, accept)

    attempts = world.run(ticket).attempts
    assert [attempt.verdict for attempt in attempts] == [Verdict.REJECT, Verdict.REJECT, Verdict.ACCEPT_CANARY_BACKED]
    assert [_report(world, order).previous_attempts for order in world.orders] == [(), attempts[:1], attempts[:2]]


def test_without_a_pathway_another_point_of_it_is_skipped() -> None:
    world, ticket = told(fails(FailureKind.QUALITY, "the loss is not finite"), accept)

    assert ticket.state is TicketState.SUCCEEDED
    assert [order.rung.kind for order in world.orders] == ["mcu", "retrain"]
    assert [order.plan.audits_before for order in world.orders] == [0, 0], "nothing was audited: the level is not spent"


def test_a_rung_of_bad_quality_is_climbed_without_a_verdict() -> None:
    world, ticket = told(reject, fails(FailureKind.QUALITY, "no other point"), accept)

    assert [order.rung.kind for order in world.orders] == ["mcu", "another_point", "retrain"]
    assert [attempt.rung for attempt in world.run(ticket).attempts] == [0, 2]


def test_above_the_last_rung_a_person_decides() -> None:
    world, ticket = told(reject)

    assert len(world.orders) == 3
    assert ticket.state is TicketState.NEEDS_ATTENTION
    assert ticket.reasons[0].code == "AUDIT_REJECTED"
    assert ticket.is_open, "its clock runs on"
    require_nothing_published(world)
    require_nothing_personal_left(world)
    assert world.observed.closed == [(RunPhase.FAILED, FailureKind.QUALITY)]


def test_without_a_recipe_exact_retraining_is_not_on_the_ladder() -> None:
    world, ticket = told(reject, recipe=None)

    assert [order.rung.kind for order in world.orders] == ["mcu", "another_point"]
    assert ticket.state is TicketState.NEEDS_ATTENTION


@pytest.mark.parametrize(("attempt", "code"), [(vacuous, "AUDIT_VACUOUS"), (invalid, "AUDIT_INVALID")])
def test_where_nothing_was_shown_nothing_is_published_and_no_rung_is_climbed(attempt: Attempt, code: str) -> None:
    world, ticket = told(attempt)

    assert ticket.state is TicketState.NEEDS_ATTENTION
    assert ticket.reasons[0].code == code
    assert len(world.orders) == 1
    require_nothing_published(world)
    require_nothing_personal_left(world)


# Failures


@pytest.mark.parametrize(
    "failing", [fails(FailureKind.TRANSIENT), fails(FailureKind.RESOURCE), fails(FailureKind.FENCED), dies, exits(1)],
    ids=["transient", "resource", "fenced", "killed", "exit code"],
)  # fmt: skip
def test_what_may_pass_is_tried_again_on_the_same_rung_as_a_new_attempt(failing: Attempt) -> None:
    world, ticket = told(failing, accept)

    assert ticket.state is TicketState.SUCCEEDED
    assert [(order.epoch, order.rung_index) for order in world.orders] == [(1, 0), (2, 0)]
    assert world.run(ticket).reason == "", "what went wrong before success is told by the ledger"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_lost_job_is_tried_again_as_a_new_attempt() -> None:
    def is_lost(order: WorkOrder, objects: ObjectStore) -> int:
        raise ConnectionError

    world, ticket = told(is_lost, accept)

    assert ticket.state is TicketState.SUCCEEDED
    assert [order.epoch for order in world.orders] == [1, 2]


@pytest.mark.parametrize("failing", [fails(FailureKind.TRANSIENT, "no GPU"), dies])
def test_after_as_many_failures_as_allowed_a_person_decides(failing: Attempt) -> None:
    world, ticket = told(failing)

    assert len(world.orders) == ATTEMPT_FAILURES
    assert ticket.state is TicketState.NEEDS_ATTENTION
    assert ticket.reasons[0].code == "RETRIES_EXHAUSTED"
    assert f"{ATTEMPT_FAILURES} attempts failed" in ticket.reasons[0].text
    require_nothing_published(world)
    require_nothing_personal_left(world)


def test_failures_are_counted_on_each_rung_anew() -> None:
    again = fails(FailureKind.TRANSIENT)
    world, ticket = told(again, again, reject, again, again, accept)

    assert ticket.state is TicketState.SUCCEEDED
    assert [order.epoch for order in world.orders] == [1, 2, 3, 4, 5, 6]


def test_an_attempt_is_repeated_only_after_a_pause_that_doubles() -> None:
    world = World(dies)
    world.register()
    ticket = world.submit("train-03")
    for expected in (RETRY_SECONDS, 2 * RETRY_SECONDS):
        while world.run(ticket).retry_at is None if world.ticket(ticket).run_id else True:
            world.service.reconciler.round()
            world.wait_for_jobs()
        run = world.run(ticket)
        assert run.retry_at == world.clock.now() + timedelta(seconds=expected)
        executed = len(world.orders)
        world.clock.advance(timedelta(seconds=expected, microseconds=-1))
        world.service.reconciler.round()
        assert len(world.orders) == executed
        world.clock.advance(timedelta(microseconds=1))
        world.service.reconciler.round()
        world.wait_for_jobs()
        assert len(world.orders) == executed + 1
        world.service.reconciler.round()


@pytest.mark.parametrize("kind", [FailureKind.INPUT, FailureKind.NO_EFFECT])
def test_what_cannot_pass_is_not_tried_again(kind: FailureKind) -> None:
    world, ticket = told(fails(kind, "the base model is another one"))

    assert len(world.orders) == 1
    assert ticket.state is TicketState.NEEDS_ATTENTION
    assert ticket.reasons[0].code == kind.value.upper()
    assert ticket.reasons[0].text == "the base model is another one"
    assert world.observed.closed == [(RunPhase.FAILED, kind)]
    require_nothing_published(world)


def test_after_a_failed_run_the_lineage_is_free_for_the_next() -> None:
    world, _ = told(fails(FailureKind.INPUT), accept)
    second = world.submit("train-05", request_id="second")
    world.drive()

    assert world.ticket(second).state is TicketState.SUCCEEDED
    assert world.run(second).spec.sequence == 2
    assert forgotten_samples(world) == {row_of("train-05"): 2}


# Believing a worker


def _flipped(report: AuditReport) -> AuditReport:
    judgement = report.judgement.model_copy(update={"verdict": Verdict.ACCEPT_POWERED, "reasons": ()})
    return report.model_copy(update={"judgement": judgement})


def _of_another_run(report: AuditReport) -> AuditReport:
    return report.model_copy(update={"subjects": report.subjects.model_copy(update={"run_id": "run-other"})})


@pytest.mark.parametrize("change", [_flipped, _of_another_run])
def test_a_report_that_does_not_hold_fails_the_run(change: Callable[[AuditReport], AuditReport]) -> None:
    world, ticket = told(misreports(change, trace_left))

    assert ticket.state is TicketState.NEEDS_ATTENTION
    assert ticket.reasons[0].code == "DIGEST_MISMATCH"
    require_nothing_published(world)


def _other_candidate(order: WorkOrder, objects: ObjectStore) -> int:
    objects.create(f"{order.prefix}/candidate.safetensors", b"other weights than were measured")
    return _outcome(order, objects, candidate=candidate_digest(order))


def _no_candidate(order: WorkOrder, objects: ObjectStore) -> int:
    return _outcome(order, objects, candidate=candidate_digest(order))


def _report_that_is_not_canonical(order: WorkOrder, objects: ObjectStore) -> int:
    """Leave a report that says what it should, in other bytes than whoever publishes it would write."""
    report = report_of(order)
    objects.create(f"{order.prefix}/candidate.safetensors", candidate_bytes(order))
    scores = objects.create(f"{order.prefix}/scores.parquet", scores_of(report.evidence))
    written = objects.create(f"{order.prefix}/report.json", report.model_dump_json(indent=1).encode())
    outcome = Outcome(
        candidate_digest=candidate_digest(order), report_digest=written.sha256, scores_digest=scores.sha256
    )
    objects.create(f"{order.prefix}/outcome.json", outcome.to_bytes())
    return 0


def _outcome(order: WorkOrder, objects: ObjectStore, *, candidate: str | None, report: str | None = None) -> int:
    data = report_of(order).to_bytes()
    written = objects.create(f"{order.prefix}/report.json", data)
    outcome = Outcome(candidate_digest=candidate, report_digest=report or written.sha256)
    objects.create(f"{order.prefix}/outcome.json", outcome.to_bytes())
    return 0


def _other_report(order: WorkOrder, objects: ObjectStore) -> int:
    objects.create(f"{order.prefix}/candidate.safetensors", candidate_bytes(order))
    return _outcome(order, objects, candidate=candidate_digest(order), report=digest_of("another report"))


def _no_digests(order: WorkOrder, objects: ObjectStore) -> int:
    return _outcome(order, objects, candidate=None)


def _writes(name: str, data: bytes) -> Attempt:
    def attempt(order: WorkOrder, objects: ObjectStore) -> int:
        objects.create(f"{order.prefix}/{name}", data)
        if name != "outcome.json":
            outcome = Outcome(candidate_digest=digest_of("c"), report_digest=hashlib.sha256(data).hexdigest())
            objects.create(f"{order.prefix}/outcome.json", outcome.to_bytes())
        return 0

    return attempt


def _no_report(order: WorkOrder, objects: ObjectStore) -> int:
    outcome = Outcome(candidate_digest=digest_of("c"), report_digest=digest_of("r"))
    objects.create(f"{order.prefix}/outcome.json", outcome.to_bytes())
    return 0


DISHONEST: dict[str, Attempt] = {
    "candidate": _other_candidate, "missing candidate": _no_candidate, "report": _other_report,
    "missing report": _no_report, "no digests": _no_digests, "unreadable report": _writes("report.json", b"{}"),
    "report that is not canonical": _report_that_is_not_canonical,
    "no json": _writes("report.json", b"\xff\xfe"), "unreadable outcome": _writes("outcome.json", b"[]"),
}  # fmt: skip


@pytest.mark.parametrize("attempt", DISHONEST.values(), ids=DISHONEST)
def test_output_that_does_not_fit_together_goes_to_a_person_and_is_never_published(attempt: Attempt) -> None:
    world, ticket = told(attempt)

    assert ticket.state is TicketState.NEEDS_ATTENTION
    assert len(world.orders) == 1
    require_nothing_published(world)
    require_nothing_personal_left(world)


def test_the_output_of_a_stale_attempt_is_never_read() -> None:
    world = World(dies, accept)
    world.register()
    ticket = world.submit("train-03")
    while len(world.orders) < 2:
        world.round()
    # The first attempt comes back from the dead with a candidate of its own, just before the second is judged.
    accept(world.orders[0], world.objects)
    world.drive()

    assert world.releases()[1].weights_digest == candidate_digest(world.orders[1])
    assert [attempt.attempt for attempt in world.run(ticket).attempts] == [2]


# Publishing


def test_a_full_disk_while_publishing_delays_the_release_and_nothing_else() -> None:
    class FullDisk(MemoryObjectStore):
        full = False

        def create(self, key: str, data: Any) -> Any:
            if self.full and key.startswith(("models/", "reports/")):
                raise ObjectStoreUnavailableError("no space left on device")
            return super().create(key, data)

    objects = FullDisk()
    world = World(accept, objects=objects)
    world.register()
    ticket = world.submit("train-03")
    objects.full = True
    for _ in range(6):
        world.round(world.process())
    assert world.run(ticket).phase is RunPhase.PUBLISHING
    require_nothing_published(world)

    objects.full = False
    world.drive(world.process)
    assert world.ticket(ticket).state is TicketState.SUCCEEDED
    assert len(world.orders) == 1


def test_orphans_under_the_next_release_are_replaced() -> None:
    world = World(accept)
    world.register()
    orphan = weights_key(LINEAGE, 2)
    world.objects.create(orphan, b"of a run that crashed and was given up")
    world.objects.create(orphan.replace("model.safetensors", "model.json"), b"{}")
    ticket = world.submit("train-03")
    world.drive()

    assert world.ticket(ticket).state is TicketState.SUCCEEDED
    assert world.objects.read(orphan) == candidate_bytes(world.orders[0])


def test_a_pointer_that_somebody_else_moves_at_the_same_moment_is_looked_at_again() -> None:
    class Contested(MemoryObjectStore):
        lost = 0

        def replace(self, key: str, data: bytes, *, expected_etag: str | None) -> Any:
            if self.lost:
                self.lost -= 1
                expected_etag = "stale"
            return super().replace(key, data, expected_etag=expected_etag)

    objects = Contested()
    world = World(accept, objects=objects)
    world.register()
    ticket = world.submit("train-03")
    objects.lost = 2
    world.drive()

    assert world.observed.conflicts == 2
    assert world.ticket(ticket).state is TicketState.SUCCEEDED
    assert world.pointer()["release"] == 2


def test_a_pointer_that_is_behind_its_lineage_is_repaired() -> None:
    world, _ = told(accept)
    current = world.objects.head(pointer_key(LINEAGE))
    assert current is not None
    world.objects.delete(current.key)

    world.service.workflow.repair_pointers()
    assert world.pointer()["release"] == 2


def test_nothing_succeeds_while_readers_are_pointed_to_a_release_that_nobody_knows() -> None:
    world = World(accept)
    world.register()
    ticket = world.submit("train-03")
    foreign = world.objects.read(pointer_key(LINEAGE)).replace(b'"release":1', b'"release":999')
    world.objects.overwrite(pointer_key(LINEAGE), foreign)

    for _ in range(10):
        world.round()

    assert world.ticket(ticket).state is TicketState.PUBLISHED
    assert world.observed.conflicts > 0


def test_a_pointer_never_moves_back() -> None:
    world, _ = told(accept)
    before = world.pointer()

    world.register()  # once more: it would point to the first release
    world.service.workflow.repair_pointers()
    assert world.pointer() == before


# Several tickets


def test_tickets_that_wait_together_share_one_run_and_each_closes() -> None:
    world = World(accept)
    world.register()
    tickets = [world.submit(*ids, request_id=ids[0]) for ids in (("train-01", "train-02"), ("train-02", "train-03"))]
    world.drive()

    assert [world.ticket(ticket).state for ticket in tickets] == [TicketState.SUCCEEDED] * 2
    assert len(world.orders) == 1
    assert world.releases()[1].ticket_ids == tuple(ticket.ticket_id for ticket in tickets)
    assert set(forgotten_samples(world)) == {row_of(f"train-0{number}") for number in (1, 2, 3)}


def test_a_ticket_that_comes_during_a_run_waits_for_the_next() -> None:
    world = World(accept)
    world.register()
    first = world.submit("train-01", request_id="first")
    world.round()
    second = world.submit("train-02", request_id="second")
    world.round()
    assert len(world.store.active_runs()) <= 1
    world.drive()

    runs = [world.run(ticket) for ticket in (first, second)]
    assert [run.spec.sequence for run in runs] == [1, 2]
    assert runs[1].spec.base_release == 2
    assert [world.ticket(ticket).release_number for ticket in (first, second)] == [2, 3]


def test_a_lineage_never_has_two_active_runs_even_with_two_controllers() -> None:
    world = World(accept)
    world.register()
    controllers = [world.process(), world.process()]
    tickets = []
    for number in range(6):
        tickets.append(world.submit(f"train-{number:02d}", request_id=f"{number}"))
        world.round(controllers[number % 2])
        assert len(world.store.active_runs()) <= 1
    world.drive(lambda: controllers[len(world.orders) % 2])

    assert {world.ticket(ticket).state for ticket in tickets} == {TicketState.SUCCEEDED}
    assert set(world.executions().values()) == {1}
    assert len(forgotten_samples(world)) == 6


def test_a_batch_forgets_at_most_its_share_and_the_rest_waits() -> None:
    world = World(accept)
    world.register()
    service = world.process(max_forget_fraction=3.5 / TRAIN_ROWS)
    large = world.submit(*TRAIN[:5], request_id="large")
    small = world.submit(*TRAIN[5:7], request_id="small")
    tiny = world.submit(TRAIN[7], request_id="tiny")
    world.drive(lambda: service)

    assert [world.run(ticket).spec.sequence for ticket in (large, small, tiny)] == [1, 2, 2]
    assert [run.spec.forget_count for run in map(world.run, (large, small))] == [5, 3]


def test_a_ticket_whose_samples_are_forgotten_already_closes_at_once_with_that_release() -> None:
    world, _ = told(accept)
    again = world.submit("train-11", "train-03", request_id="again")
    world.drive()

    ticket = world.ticket(again)
    assert (ticket.state, ticket.release_number, ticket.run_id) == (TicketState.SUCCEEDED, 2, None)
    assert ticket.reasons[0].code == "ALREADY_FORGOTTEN"
    assert len(world.orders) == 1


def test_a_run_forgets_of_a_ticket_what_is_not_forgotten_yet() -> None:
    world, _ = told(accept)
    more = world.submit("train-03", "train-05", request_id="more")
    world.drive()

    assert world.run(more).spec.forget_count == 1
    assert forgotten_samples(world) == {
        row_of("train-03"): 2, row_of("train-11"): 2, row_of("train-05"): 3,
    }  # fmt: skip


def test_a_ticket_that_would_leave_nothing_to_keep_goes_to_a_person_and_the_others_do_not() -> None:
    world = World(accept)
    world.register()
    first = world.submit(*TRAIN[:12], request_id="first")
    everything_left = world.submit(*TRAIN[12:], *MANY.included_ids, request_id="everything left")
    some = world.submit(*TRAIN[12:14], request_id="some")
    world.drive()

    assert [world.ticket(ticket).state for ticket in (first, some)] == [TicketState.SUCCEEDED] * 2
    refused = world.ticket(everything_left)
    assert refused.state is TicketState.NEEDS_ATTENTION
    assert refused.reasons[0].code == "ForgetSetTooLargeError"
    assert len(world.orders) == 1


def test_tickets_that_only_together_leave_nothing_to_keep_are_served_one_after_the_other() -> None:
    world = World(accept)
    world.register()
    service = world.process(max_forget_fraction=0.999)
    first, second = (world.submit(*ids, request_id=ids[0]) for ids in (TRAIN[:10], (*TRAIN[10:], *MANY.included_ids)))
    world.drive(lambda: service)

    assert world.ticket(first).state is TicketState.SUCCEEDED
    assert world.ticket(second).state is TicketState.NEEDS_ATTENTION


def test_a_ticket_that_is_withdrawn_before_its_run_is_not_forgotten() -> None:
    world = World(accept)
    world.register()
    ticket, other = world.submit("train-01"), world.submit("train-02", request_id="other")
    world.service.workflow.schedule_tickets()
    world.service.intake.cancel_ticket(ticket.ticket_id, tenant=ticket.tenant, actor="alice")
    world.drive()

    assert world.ticket(ticket).state is TicketState.CANCELLED
    assert world.ticket(other).state is TicketState.SUCCEEDED
    assert set(forgotten_samples(world)) == {row_of("train-02")}


def test_rows_that_resolve_otherwise_than_when_the_batch_closed_stop_the_run() -> None:
    world = World(accept)
    world.register()
    ticket = world.submit("train-03")
    world.service.workflow.schedule_tickets()
    for lineage, tickets in world.service.workflow.waiting().items():
        world.service.workflow.open_run(lineage, tickets)
    run = world.run(ticket)
    tampered = replace(run, spec=run.spec.model_copy(update={"resolution_digest": digest_of("other rows")}))
    world.store._runs[run.run_id] = tampered  # type: ignore[attr-defined]  # behind the store's back
    world.drive()

    assert world.ticket(ticket).reasons[0].code == "RESOLUTION_MISMATCH"
    assert world.orders == []


# Helpers


def _report(world: World, order: WorkOrder) -> AuditReport:
    return AuditReport.model_validate_json(
        world.objects.read(f"{attempt_prefix(order.run_id, order.epoch)}/report.json")
    )


@pytest.mark.parametrize("told", [None, FailureKind.TRANSIENT, FailureKind.RESOURCE])
@pytest.mark.parametrize("reported", [True, False])
def test_an_attempt_that_scored_its_candidate_counts_whatever_its_job_says(
    told: FailureKind | None, reported: bool
) -> None:
    """Else a job could be ended after every verdict that somebody does not like."""
    world = World(hides(trace_left, told=told, reported=reported), accept)
    world.register()
    ticket = world.submit("train-01", "train-02")
    world.drive()
    run = world.run(ticket)
    assert [attempt.verdict for attempt in run.attempts] == [Verdict.REJECT, Verdict.ACCEPT_CANARY_BACKED]
    assert [order.plan.audits_before for order in world.orders] == [0, 1]


def test_an_accepted_candidate_is_not_made_again_because_its_job_was_killed() -> None:
    world = World(hides(no_trace))
    world.register()
    ticket = world.submit("train-01", "train-02")
    world.drive()
    assert world.ticket(ticket).state is TicketState.SUCCEEDED
    assert len(world.orders) == 1
