"""The problem of a run: what unlearns gets D_f in one piece, the audit knows whose samples are whose."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mcu_core import checkpoint, models
from mcu_core.audit.facts import Excluded
from mcu_core.audit.rows import MAX_FORGOTTEN_BEFORE
from mcu_core.errors import DataError, SealedReadError
from mcu_core.images import ImageData
from mcu_core.report import CanaryPlan
from service.domain.canary import CanaryBatch
from service.domain.resolution import Resolution, resolve
from service.domain.run import RunCanaries, WorkOrder
from service.worker.posing import PosedRun, forgotten_to_look_at_again, mislabel, pose
from service.worker.samples import DecodedSamples
from tests.cases import CLASSES, SIZE, TINY
from tests.records import SPEC, a_run, an_order_for, digest_of

TRAIN, HELDOUT = tuple(range(0, 120, 2)), tuple(range(1, 100, 2))
CANARIES = tuple(range(101, 120, 2))
COUNT = 120
BASE = checkpoint.to_bytes(models.state_of(models.build(TINY)))
IN, OUT = (20, 4, 90), (101, 111, 119)
BEFORE, HELD = (6, 14), (50,)


def samples(*, unreadable: Sequence[int] = ()) -> DecodedSamples:
    readable = np.ones(COUNT, dtype=np.bool_)
    readable[list(unreadable)] = False

    def kept(rows: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array([row for row in rows if readable[row]], dtype=np.int64)

    return DecodedSamples(
        data=ImageData(
            images=torch.zeros(COUNT, 1, SIZE, SIZE, dtype=torch.uint8), labels=torch.arange(COUNT) % CLASSES
        ),
        readable=readable,
        train=kept(TRAIN),
        heldout=kept(HELDOUT),
        canary=kept(CANARIES),
        heldout_subjects=tuple(f"s{row}" for row in HELDOUT),
        subjects=np.arange(COUNT, dtype=np.int64) // 3 * 3,
    )


def a_resolution(
    requested: Sequence[int] = (30, 8), included: Sequence[int] = IN, excluded: Sequence[int] = OUT
) -> Resolution:
    return resolve(
        manifest_digest=SPEC.manifest_digest,
        train_rows=len(TRAIN),
        requested=requested,
        forgotten_before=BEFORE,
        held=HELD,
        canaries=CanaryBatch(included=tuple(included), excluded=tuple(excluded)),
    )


def an_order(resolution: Resolution, *, mislabelled: bool = False) -> WorkOrder:
    included, excluded = len(resolution.canary_included), len(resolution.canary_excluded)
    counts = RunCanaries(
        included=included, excluded=excluded, wanted=64, commitment=digest_of("coins"), mislabelled=mislabelled
    )
    changes = {
        "architecture": TINY,
        "base_model_digest": hashlib.sha256(BASE).hexdigest(),
        "canaries": counts if included else None,
    }
    order = an_order_for(replace(a_run(), spec=SPEC.model_copy(update=changes)))
    planned = CanaryPlan(included=included, excluded=excluded, coin_commitment=counts.commitment) if included else None
    return order.model_copy(update={"plan": order.plan.model_copy(update={"canaries": planned})})


def posed(resolution: Resolution, *, mislabelled: bool = False) -> PosedRun:
    order = an_order(resolution, mislabelled=mislabelled)
    again = set(forgotten_to_look_at_again(order, resolution))
    unreadable = sorted({*resolution.forgotten_before, *resolution.held} - again)
    return pose(order, resolution, samples(unreadable=unreadable), BASE)


def sealed_rows(run: PosedRun) -> torch.Tensor:
    return torch.cat([run.audited.sealed.calibration, run.audited.sealed.evaluation])


def test_canaries_stand_among_the_tickets_samples_in_one_ascending_order() -> None:
    run = posed(a_resolution())

    assert run.problem.forget.tolist() == [4, 8, 20, 30, 90]
    assert run.audited.canaries is not None
    assert run.audited.canaries.included.tolist() == [4, 20, 90]
    assert run.audited.canaries.excluded.tolist() == [101, 111, 119]


def test_the_problem_is_that_of_tickets_that_named_the_canaries() -> None:
    with_canaries, without = posed(a_resolution()), posed(a_resolution((30, 8, *IN), (), ()))

    for part in ("forget", "retain", "validation", "test"):
        assert torch.equal(getattr(with_canaries.problem, part), getattr(without.problem, part))
    assert torch.equal(sealed_rows(with_canaries), sealed_rows(without))
    assert without.audited.canaries is None


def test_d_r_has_neither_canaries_of_the_run_nor_any_that_were_kept_out() -> None:
    retain = set(posed(a_resolution()).problem.retain.tolist())

    assert retain == set(TRAIN) - {4, 8, 20, 30, 90} - {*BEFORE, *HELD}


def test_canaries_that_were_kept_out_are_in_no_part_of_the_problem_nor_in_c() -> None:
    run = posed(a_resolution())
    problem = run.problem
    used = torch.cat([problem.forget, problem.retain, problem.validation, problem.test, sealed_rows(run)])

    assert set(used.tolist()).isdisjoint(CANARIES)


def test_what_the_audit_alone_reads_is_sealed_and_nothing_else() -> None:
    run = posed(a_resolution())
    problem = run.problem
    hidden = {*sealed_rows(run).tolist(), *CANARIES, *BEFORE}
    assert sealed_rows(run).numel()
    for data in (problem.data, run.labelled.data, run.asked_for.data):
        for row in hidden:
            with pytest.raises(SealedReadError):
                data.pixels(torch.tensor([row]))
        for part in (problem.forget, problem.retain, problem.validation, problem.test):
            assert len(data.pixels(part)) == len(part)
    rows = torch.tensor(sorted(hidden))
    assert len(run.audited.sealed.open().pixels(rows)) == len(rows)


# Earlier deletions


def test_what_was_forgotten_before_is_looked_at_again_by_the_audit_alone() -> None:
    run = posed(a_resolution())
    problem = run.problem
    used = torch.cat([problem.forget, problem.retain, problem.validation, problem.test, sealed_rows(run)])

    assert run.audited.forgotten_before is not None
    assert run.audited.forgotten_before.tolist() == list(BEFORE)
    assert set(used.tolist()).isdisjoint(BEFORE)
    assert run.audited.excluded == Excluded(forgotten_before=len(BEFORE), held=len(HELD))


def test_a_first_deletion_has_none_to_look_at_again() -> None:
    resolution = replace(a_resolution(), forgotten_before=(), train_rows=len(TRAIN))

    assert posed(resolution).audited.forgotten_before is None


def test_of_many_earlier_deletions_a_sample_is_looked_at_that_the_plan_fixes() -> None:
    many = replace(a_resolution(), forgotten_before=tuple(range(10_000, 10_000 + 3 * MAX_FORGOTTEN_BEFORE)))
    order = an_order(many)
    chosen = forgotten_to_look_at_again(order, many)
    other = order.model_copy(update={"plan": order.plan.model_copy(update={"seed": order.plan.seed + 1})})

    assert len(chosen) == MAX_FORGOTTEN_BEFORE
    assert set(chosen) < set(many.forgotten_before)
    assert list(chosen) == sorted(chosen)
    assert chosen == forgotten_to_look_at_again(order, many)
    assert chosen != forgotten_to_look_at_again(other, many)


def test_the_audit_knows_whose_samples_are_whose() -> None:
    run = posed(a_resolution())

    assert torch.equal(run.audited.subjects, torch.arange(COUNT) // 3 * 3)


@pytest.mark.parametrize(
    "wrong",
    [
        a_resolution(requested=(1,)),
        a_resolution(requested=(101,), excluded=(103,)),
        a_resolution(included=(3,)),
        a_resolution(excluded=(3,)),
        a_resolution(excluded=(2,)),
        a_resolution(excluded=(500,)),
        replace(a_resolution(), forgotten_before=(), forget=(-1,)),
    ],
)
def test_rows_of_another_split_than_the_resolution_says_are_refused(wrong: Resolution) -> None:
    with pytest.raises(DataError, match="the resolution names rows"):
        posed(wrong)


# Wrong labels


def test_as_large_a_share_of_d_v_gets_wrong_labels_as_canaries_have_of_d_f() -> None:
    run = posed(a_resolution(), mislabelled=True)
    changed = torch.nonzero(run.problem.data.labels != run.truthful.labels).flatten()

    assert set(changed.tolist()) <= set(run.problem.validation.tolist())
    assert len(changed) == round(3 / 5 * len(run.problem.validation)) > 0


def test_what_is_measured_has_the_manifests_labels_and_the_tickets_samples_alone() -> None:
    run = posed(a_resolution(), mislabelled=True)

    assert run.asked_for.forget.tolist() == [8, 30]
    assert torch.equal(run.asked_for.data.labels, samples().data.labels)
    assert torch.equal(run.asked_for.retain, run.problem.retain)


def test_canaries_that_keep_their_labels_change_no_label() -> None:
    run = posed(a_resolution())

    assert torch.equal(run.problem.data.labels, run.truthful.labels)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.floats(0.0, 1.0), st.integers(0, 99))
def test_exactly_the_share_gets_labels_that_are_wrong_and_known(labels: list[int], share: float, seed: int) -> None:
    before = torch.tensor(labels) * 3
    rows = torch.arange(0, len(labels), 2)
    rng = torch.Generator().manual_seed(seed)
    after = mislabel(before, rows, share, classes=torch.arange(6) * 3, rng=rng)
    changed = torch.nonzero(before != after).flatten()

    assert len(changed) == round(share * len(rows))
    assert set(changed.tolist()) <= set(rows.tolist())
    assert set(after.tolist()) <= {0, 3, 6, 9, 12, 15}
    assert torch.equal(before, torch.tensor(labels) * 3), "the given labels are as they were"
