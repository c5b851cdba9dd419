"""What published runs rested on is found once more, and held against their plans."""

from dataclasses import replace

import pytest

from mcu_core.config import UnlearningConfig, default_ladder
from mcu_core.report import AuditReport
from service.domain.commitment import CommitmentKey
from service.domain.release import evidence_key, weights_key
from service.domain.run import UnlearningRun
from service.domain.ticket import Ticket
from service.errors import PremiseError
from service.ports import manifest_key
from service.premises import PremiseSource
from tests.attempts import candidate_bytes
from tests.records import LINEAGE
from tests.world import CANARIES_PER_RUN, KEY, ROLLBACK_WINDOW, WEIGHTS, World, world_with_canaries

PLANNED_AT = 5


def source_of(world: World) -> PremiseSource:
    return PremiseSource(store=world.store, objects=world.objects, manifests=world.manifests, key=KEY)


def published(world: World, *sample_ids: str) -> tuple[UnlearningRun, AuditReport]:
    ticket: Ticket = world.submit(*sample_ids, request_id=" ".join(sample_ids))
    world.drive()
    run = world.run(ticket)
    return run, AuditReport.model_validate_json(world.objects.read(evidence_key(LINEAGE, run.run_id, "report.json")))


@pytest.fixture
def world() -> World:
    world = world_with_canaries()
    world.objects.create(manifest_key(world.registration.manifest_digest), b"is read by its source")
    world.register()
    return world


def test_each_run_is_found_as_its_worker_was_given_it(world: World) -> None:
    """Also after later runs, which took the canaries that nothing was trained on once more."""
    reports = [published(world, name)[1] for name in ("train-01", "train-02", "train-03")]
    taken = [canary.used_by_run for canary in world.store.canaries(LINEAGE) if not canary.is_included]
    assert taken.count(reports[0].plan.run_id) < CANARIES_PER_RUN, "none was taken once more"

    for report, given in zip(reports, world.orders, strict=True):
        found = source_of(world).gather(report, given.planned_at)
        assert found.order == given
        assert found.resolution.digest == report.plan.resolution
        assert (found.original, found.candidate) == (
            candidate_bytes(world.orders[given.spec.sequence - 2]) if given.spec.sequence > 1 else WEIGHTS,
            candidate_bytes(given),
        )


def test_what_was_purged_is_named_with_the_day_and_the_reason(world: World) -> None:
    _, report = published(world, "train-01")
    published(world, "train-02")
    world.clock.advance(ROLLBACK_WINDOW)
    world.round()

    with pytest.raises(PremiseError, match=r"original \(release 1\) and .*release 1 was purged on .*; release 2 was"):
        source_of(world).gather(report, PLANNED_AT)


def test_weights_that_are_given_are_not_read_and_must_be_the_right_ones(world: World) -> None:
    _, report = published(world, "train-01")
    source, candidate = source_of(world), world.objects.read(weights_key(LINEAGE, 2))
    for number in (1, 2):
        world.objects.delete(weights_key(LINEAGE, number))

    with pytest.raises(
        PremiseError, match=r"the original \(release 1\) and the weights of the candidate \(release 2\)"
    ):
        source.gather(report, PLANNED_AT)
    assert source.gather(report, PLANNED_AT, original=WEIGHTS, candidate=candidate).original == WEIGHTS
    for other in (candidate, b""):
        with pytest.raises(PremiseError, match="not those of the plan"):
            source.gather(report, PLANNED_AT, original=other, candidate=candidate)
    for other in (WEIGHTS, b""):
        with pytest.raises(PremiseError, match="not those that were audited"):
            source.gather(report, PLANNED_AT, original=WEIGHTS, candidate=other)


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("run_id", "published no run"),
        ("spec", "the specification of the run"),
        ("split_commitment", "another key of the held-out samples"),
        ("resolution", "not the rows that the plan names"),
        ("forget_root", "committed to other samples"),
    ],
)
def test_what_the_plan_does_not_name_is_refused(world: World, field: str, says: str) -> None:
    _, report = published(world, "train-01")
    other = report.model_copy(update={"plan": report.plan.model_copy(update={field: "0" * 64})})
    with pytest.raises(PremiseError, match=says):
        source_of(world).gather(other, PLANNED_AT)


@pytest.mark.parametrize("change", [{"seed": 7}, {"config": UnlearningConfig(ladder=default_ladder(None)[:1])}])
def test_a_report_that_tells_of_other_settings_is_refused(world: World, change: dict[str, object]) -> None:
    _, report = published(world, "train-01")
    with pytest.raises(PremiseError, match="other settings than the run's specification"):
        source_of(world).gather(report.model_copy(update=change), PLANNED_AT)


def test_another_commitment_key_is_refused(world: World) -> None:
    _, report = published(world, "train-01")
    with pytest.raises(PremiseError, match="commitment key was replaced"):
        replace(source_of(world), key=CommitmentKey(b"k" * 32)).gather(report, PLANNED_AT)
