"""The gate's mutation suite: a worker that gets one thing wrong never ends in a release.

Every attempt unlearns a network that really memorised its data, with the real worker's parts, inside the whole service;
exact retraining in the same setting is accepted and published, or the rest would prove nothing.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mcu_core.config import McuRung, Rung
from mcu_core.connectivity.selection import choose_point
from mcu_core.connectivity.sweep import Sweep, selection_rows
from mcu_core.images import seal
from mcu_core.methods.retrain import train_from_scratch
from mcu_core.pipeline import measure_references
from mcu_core.report import AuditReport, ReasonCode, Role, Verdict
from mcu_core.runtime import runtime_of, stream
from mcu_core.types import Outcome as Made
from mcu_core.types import Pathway
from service.domain import judging
from service.domain.release import weights_key
from service.domain.run import Outcome, WorkOrder, plan_key
from service.ports import ObjectStore
from service.worker.auditing import report_on, run_seed, start_of_run
from service.worker.posing import PosedRun
from tests.audits import retrained_as
from tests.memorised_digits import RECIPE, RETRAIN, request, world_of
from tests.mutations import (
    Relabelled,
    Setting,
    offered,
    one_bit,
    overflowing,
    report_of,
    require_published,
    require_unpublished,
    with_another_last_bit,
    with_digest,
    with_first,
)
from tests.records import LINEAGE
from tests.workers import Worker, real, replayed, score

DAY_MICROSECONDS = 86_400_000_000


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    torch.set_num_threads(1)
    return Setting.honest(tmp_path_factory.mktemp("digits"))


# What is right


def test_exact_retraining_is_accepted_and_published(setting: Setting) -> None:
    require_published(setting.world, setting.ticket)
    candidate = hashlib.sha256(setting.stored["candidate.safetensors"]).hexdigest()
    assert setting.world.releases()[-1].weights_digest == candidate
    assert AuditReport.model_validate_json(setting.stored["report.json"]).judgement.verdict.accepts


def test_a_worker_of_the_same_parts_comes_to_the_same(setting: Setting) -> None:
    world, ticket = setting.run(Worker(decoded=setting.pixels))
    require_published(world, ticket)
    assert world.releases()[-1].weights_digest == setting.world.releases()[-1].weights_digest


# Wrong models


def unchanged(_setting: Setting, _order: WorkOrder, posed: PosedRun) -> Made:
    return retrained_as(posed.problem.original)


def trained_on(rows_of: Callable[[PosedRun], Tensor]) -> "Make":
    """Return a retraining that D_f, or a part of it, was left in."""

    def make(_setting: Setting, order: WorkOrder, posed: PosedRun) -> Made:
        runtime = runtime_of(posed.problem, order.spec.config)
        state = train_from_scratch(runtime, rows_of(posed), RECIPE, stream(run_seed(order), "retrain"))
        return offered(order, posed, state)

    return make


def all_but_canaries(posed: PosedRun) -> Tensor:
    return torch.cat([posed.asked_for.forget, posed.problem.retain])


def all_but_tickets(posed: PosedRun) -> Tensor:
    assert posed.audited.canaries is not None
    return torch.cat([posed.audited.canaries.included, posed.problem.retain])


def taught_shuffled_labels(_setting: Setting, order: WorkOrder, posed: PosedRun) -> Made:
    labels, retain = posed.problem.data.labels.clone(), posed.problem.retain
    labels[retain] = labels[retain][torch.randperm(len(retain), generator=stream(0, "shuffle"))]
    data = Relabelled(data=posed.problem.data, labels=labels)
    runtime = runtime_of(replace(posed.problem, data=data), order.spec.config)
    state = train_from_scratch(runtime, retain, RECIPE, stream(run_seed(order), "retrain"))
    return offered(order, posed, state)


def not_a_number(setting: Setting, _order: WorkOrder, _posed: PosedRun) -> Made:
    return retrained_as(with_first(setting.retrained, lambda weight: weight * torch.nan))


def answering_nothing_finite(setting: Setting, _order: WorkOrder, _posed: PosedRun) -> Made:
    return retrained_as(overflowing(setting.retrained))


Make = Callable[[Setting, WorkOrder, PosedRun], Made]
WRONG_MODELS: dict[str, tuple[Make, str, ReasonCode | str]] = {
    "no-op": (unchanged, "AUDIT_INVALID", ReasonCode.WEIGHTS_UNCHANGED),
    "no-op but for BatchNorm": (
        lambda _setting, order, posed: offered(order, posed, posed.problem.original),
        "AUDIT_INVALID",
        ReasonCode.WEIGHTS_UNCHANGED,
    ),
    "no-op but for one bit": (
        lambda _setting, order, posed: one_bit(order, posed),
        "AUDIT_REJECTED",
        ReasonCode.AUC_ABOVE,
    ),
    "D_f left in D_r": (
        trained_on(lambda posed: torch.cat([posed.problem.forget, posed.problem.retain])),
        "AUDIT_REJECTED",
        ReasonCode.AUC_ABOVE,
    ),
    "only canaries left out": (trained_on(all_but_canaries), "AUDIT_REJECTED", ReasonCode.AUC_ABOVE),
    "canaries left in D_r": (trained_on(all_but_tickets), "AUDIT_REJECTED", ReasonCode.CANARIES_REMEMBERED),
    "shuffled labels": (taught_shuffled_labels, "AUDIT_REJECTED", ReasonCode.RETAIN_ACCURACY_LOST),
    "NaN": (not_a_number, "INPUT", "hold numbers that are not finite"),
    "no finite answers": (answering_nothing_finite, "AUDIT_REJECTED", "does not stand the relearning"),
}


@pytest.mark.parametrize(("make", "code", "reason"), WRONG_MODELS.values(), ids=WRONG_MODELS)
def test_a_wrong_model_is_not_published(setting: Setting, make: Make, code: str, reason: ReasonCode | str) -> None:
    world, ticket = setting.run(setting.worker(unlearn=lambda order, posed: make(setting, order, posed)))
    assert require_unpublished(world, ticket) == code
    if isinstance(reason, ReasonCode):
        assert reason in {each.code for each in report_of(world, ticket).judgement.reasons}
    else:
        assert reason in world.run(ticket).reason


def test_a_base_model_that_is_not_the_releases_is_refused_by_the_worker(setting: Setting) -> None:
    world = world_of(setting.digits, real(setting.pixels), folder=setting.folder)
    ticket = request(world, setting.digits)
    world.objects.overwrite(weights_key(LINEAGE, 1), setting.stored["candidate.safetensors"])
    world.drive()
    assert require_unpublished(world, ticket) == "INPUT"


@pytest.mark.parametrize(("claims", "code"), [(False, "DIGEST_MISMATCH"), (True, "AUDIT_INVALID")])
def test_another_base_model_in_the_audit_is_not_published(setting: Setting, claims: bool, code: str) -> None:
    """A model that never knew D_f, in the original's place: named as what it is, or as what it should be."""
    other = setting.retrained

    def score_from_another(order: WorkOrder, posed: PosedRun, made: Made) -> bytes:
        content = score(order, replace(posed, problem=replace(posed.problem, original=other)), made)
        return content if claims else with_digest(content, Role.ORIGINAL, other)

    def another_bit(_order: WorkOrder, _posed: PosedRun) -> Made:
        return retrained_as(with_another_last_bit(other))

    world, ticket = setting.run(setting.worker(unlearn=another_bit, score=score_from_another))
    assert require_unpublished(world, ticket) == code


def test_answers_that_are_no_numbers_do_not_pass_for_zeros(setting: Setting) -> None:
    def score_zeros(order: WorkOrder, posed: PosedRun, made: Made) -> bytes:
        silent = {name: torch.zeros_like(tensor) for name, tensor in made.candidate.state.params.items()}
        content = score(order, posed, made.with_candidate(replace(made.candidate.state, params=silent)))
        return with_digest(content, Role.CANDIDATE, made.candidate.state)

    def overflow(_order: WorkOrder, _posed: PosedRun) -> Made:
        return retrained_as(overflowing(setting.retrained))

    world, ticket = setting.run(setting.worker(unlearn=overflow, score=score_zeros))
    assert require_unpublished(world, ticket) == "AUDIT_INVALID"


# Wrong statistics of BatchNorm


@pytest.mark.parametrize("rung", [RETRAIN, McuRung()], ids=lambda rung: rung.kind)
@pytest.mark.parametrize("from_forget", [False, True])
def test_batchnorm_statistics_must_be_those_of_d_r(setting: Setting, rung: Rung, from_forget: bool) -> None:
    """The retrained model's weights each time, also as the end of a pathway."""

    def make(order: WorkOrder, posed: PosedRun) -> Made:
        return offered(order, posed, setting.retrained, rows=posed.problem.forget if from_forget else None)

    world, ticket = setting.run(setting.worker(unlearn=make), ladder=(rung,))
    if not from_forget:
        require_published(world, ticket)
        return
    assert require_unpublished(world, ticket) == "AUDIT_INVALID"
    (reason,) = report_of(world, ticket).judgement.reasons
    assert reason.code is ReasonCode.BATCHNORM_NOT_FROM_RETAIN


# Data that are not theirs to read


def test_a_selection_that_reads_c_ends_the_attempt(setting: Setting) -> None:
    def choose_by_c(order: WorkOrder, posed: PosedRun) -> Made:
        problem, rung = posed.problem, order.rung
        assert isinstance(rung, McuRung)
        runtime, original, end = runtime_of(problem, order.spec.config), problem.original.params, setting.retrained
        middle = {name: (tensor + end.params[name]) / 2 for name, tensor in original.items()}
        references = measure_references(problem, runtime)
        rows = selection_rows(problem, rung.selection, stream(run_seed(order), "selection"))
        sweep = Sweep(
            runtime=runtime,
            pathway=Pathway(original=original, control=middle, end=end.params, mask=frozenset(original)),
            buffers=problem.original.buffers,
            rows=replace(rows, validation=posed.audited.sealed.evaluation),
            references=references,
        )
        chosen = choose_point(sweep.measure, references, rung.selection)
        return retrained_as(sweep.state_at(chosen.t))

    world, ticket = setting.run(setting.worker(unlearn=choose_by_c), ladder=(McuRung(),))
    assert require_unpublished(world, ticket) == "INPUT"
    assert "SealedReadError" in world.run(ticket).reason


# Wrong objects


def test_an_outcome_that_names_other_bytes_is_not_published(setting: Setting) -> None:
    other = hashlib.sha256(setting.digits.weights.read_bytes()).hexdigest()

    def promise(outcome: Outcome) -> Outcome:
        return outcome.model_copy(update={"candidate_digest": other})

    world, ticket = setting.run(replayed(setting.stored, promise=promise))
    assert require_unpublished(world, ticket) == "DIGEST_MISMATCH"


def test_what_was_replayed_honestly_is_published(setting: Setting) -> None:
    require_published(*setting.run(replayed(setting.stored)))


@pytest.mark.parametrize("name", ["candidate.safetensors", "scores.parquet", "report.json", "plan.json"])
def test_bytes_that_were_replaced_after_the_audit_are_not_published(setting: Setting, name: str) -> None:
    def replace_it(order: WorkOrder, objects: ObjectStore) -> None:
        redated = order.plan.model_copy(update={"created_at": order.plan.created_at + 1})
        content = {"plan.json": redated.to_bytes(), "candidate.safetensors": setting.digits.weights.read_bytes()}
        objects.overwrite(f"{order.prefix}/{name}", content.get(name, setting.stored[name] + b" "))

    world, ticket = setting.run(replayed(setting.stored, afterwards=replace_it))
    require_unpublished(world, ticket)


def test_scores_of_another_candidate_are_not_this_ones(setting: Setting) -> None:
    """The original but for one bit, published on what the retrained model answered."""

    def stale(order: WorkOrder, posed: PosedRun, made: Made) -> bytes:
        return score(order, posed, made.with_candidate(setting.retrained))

    world, ticket = setting.run(setting.worker(unlearn=one_bit, score=stale))
    assert require_unpublished(world, ticket) == "DIGEST_MISMATCH"
    assert "audited candidate" in world.run(ticket).reason


def test_evidence_that_somebody_improved_is_not_published(setting: Setting) -> None:
    """The original but for one bit, and a report whose numbers and verdict were made to fit each other."""

    def improved(order: WorkOrder, scores: bytes, candidate: str) -> AuditReport:
        honest, wished = (
            report_on(order, scores, candidate),
            AuditReport.model_validate_json(setting.stored["report.json"]),
        )
        evidence = wished.evidence.model_copy(update={"facts": honest.evidence.facts})
        scored = honest.subjects.scores
        return judging.report_of(order, evidence, candidate_digest=candidate, scores_digest=scored)

    world, ticket = setting.run(setting.worker(unlearn=one_bit, report=improved))
    assert require_unpublished(world, ticket) == "DIGEST_MISMATCH"
    assert "does not follow from its scores" in world.run(ticket).reason


def test_labels_that_were_shuffled_in_the_audit_end_unpublished(setting: Setting) -> None:
    """On wrong labels nobody is recognised: neither the original nor a candidate that forgot nothing."""

    def score_shuffled(order: WorkOrder, posed: PosedRun, made: Made) -> bytes:
        sealed = posed.audited.sealed
        whole = sealed.open()
        mixed = torch.randperm(len(whole.labels), generator=stream(0, "shuffle"))
        guarded, other = seal(
            replace(whole, labels=whole.labels[mixed]), calibration=sealed.calibration, evaluation=sealed.evaluation
        )
        return score(order, replace(posed, truthful=guarded, audited=replace(posed.audited, sealed=other)), made)

    world, ticket = setting.run(setting.worker(unlearn=one_bit, score=score_shuffled))
    assert require_unpublished(world, ticket) == "AUDIT_INVALID"
    assert ReasonCode.ORIGINAL_ANSWERS_DIFFER in {each.code for each in report_of(world, ticket).judgement.reasons}


# Attempts and plans

TWO = (RETRAIN, RETRAIN.model_copy(update={"recipe": RECIPE.model_copy(update={"stop_at_train_accuracy": 0.99})}))


def retained(setting: Setting) -> Worker:
    """Return a first attempt that is rejected."""
    return setting.worker(unlearn=one_bit)


def test_a_second_attempt_that_tells_of_the_first_is_published(setting: Setting) -> None:
    world, ticket = setting.run(retained(setting), setting.worker(), ladder=TWO)
    require_published(world, ticket)
    assert world.run(ticket).attempts[0].verdict is Verdict.REJECT


def test_an_attempt_that_leaves_an_earlier_one_out_is_not_published(setting: Setting) -> None:
    def drop(order: WorkOrder, scores: bytes, candidate: str) -> AuditReport:
        return report_on(order.model_copy(update={"previous_attempts": ()}), scores, candidate)

    world, ticket = setting.run(retained(setting), setting.worker(report=drop), ladder=TWO)
    assert require_unpublished(world, ticket) == "DIGEST_MISMATCH"
    assert "earlier attempts" in world.run(ticket).reason


def test_scores_of_an_earlier_attempt_are_not_this_ones(setting: Setting) -> None:
    earlier: list[bytes] = []

    def note(order: WorkOrder, posed: PosedRun, made: Made) -> bytes:
        earlier.append(score(order, posed, made.with_candidate(setting.retrained)))
        return score(order, posed, made)

    first = replace(retained(setting), score=note)
    second = setting.worker(score=lambda _order, _posed, _made: earlier[0])
    world, ticket = setting.run(first, second, ladder=TWO)
    assert require_unpublished(world, ticket) == "DIGEST_MISMATCH"
    assert "plan of the scores" in world.run(ticket).reason


REPLANNED: dict[str, Callable[[WorkOrder], dict[str, object]]] = {
    "re-dated": lambda order: {"created_at": order.plan.created_at - DAY_MICROSECONDS},
    "dated after the run": lambda order: {"created_at": start_of_run(order) + DAY_MICROSECONDS},
    "another seed": lambda order: {"seed": order.plan.seed + 1},
    "less confidence": lambda _order: {"confidence": 0.6},
    "no canaries": lambda _order: {"canaries": None},
}


@pytest.mark.parametrize("change", REPLANNED.values(), ids=REPLANNED)
def test_an_audit_by_another_plan_is_not_published(
    setting: Setting, change: Callable[[WorkOrder], dict[str, object]]
) -> None:
    (order,) = setting.world.orders
    other = order.model_copy(update={"plan": order.plan.model_copy(update=change(order))})
    world, ticket = setting.run(replayed(setting.restated(other)))
    assert require_unpublished(world, ticket) == "DIGEST_MISMATCH"
    assert "planned audit" in world.run(ticket).reason


def test_a_run_that_began_before_its_plan_is_not_published(setting: Setting) -> None:
    (order,) = setting.world.orders
    world, ticket = setting.run(replayed(setting.restated(order, started_at=order.plan.created_at)))
    assert require_unpublished(world, ticket) == "AUDIT_INVALID"
    (reason,) = report_of(world, ticket).judgement.reasons
    assert reason.code is ReasonCode.PLAN_NOT_BEFORE_RUN


@pytest.mark.parametrize("change", [{"confidence": 0.6}, {"canaries": None}, {"created_at": 2**52}])
def test_a_plan_that_somebody_put_there_is_not_signed(setting: Setting, change: dict[str, object]) -> None:
    stored = AuditReport.model_validate_json(setting.stored["report.json"]).plan
    world = world_of(setting.digits, real(setting.pixels), folder=setting.folder)
    ticket = request(world, setting.digits)
    run = world.run(ticket)
    world.objects.create(plan_key(run.run_id, run.epoch), stored.model_copy(update=change).to_bytes())
    world.drive()
    assert require_unpublished(world, ticket) == "DigestMismatchError"
    assert world.orders == []
