"""Families of references: whom they may serve, and what taints them."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.manifest import Manifest
from service.domain.model import Model
from service.domain.references import (
    DEFAULT_SEEDS,
    ReferencePurpose,
    ReferenceRecord,
    ReferenceTaint,
    choose_family,
    taint_of,
)
from tests.families import MODEL, a_plan, a_record, forgetting
from tests.records import NOW, a_release, digest_of

MONTH = timedelta(days=28)
AUDIT, TEACH = ReferencePurpose.AUDIT, ReferencePurpose.TEACH

release_counts = st.lists(st.integers(0, 2), max_size=6)


@given(release_counts, st.integers(1, 8))
def test_a_family_is_tainted_by_the_first_later_release_that_forgot_anybody(
    counts: list[int], after_release: int
) -> None:
    releases = [forgetting(number, count) for number, count in enumerate(counts, start=2)]
    taint = taint_of(a_plan(after_release=after_release), reversed(releases), MONTH)
    expected = [release.number for release in releases if release.number > after_release and release.forget_count]
    assert (None if taint is None else taint.release) == (expected[0] if expected else None)


def test_the_deadline_counts_from_the_release_whenever_it_is_asked_for() -> None:
    published = NOW + timedelta(days=3)
    releases = [a_release(1), replace(forgetting(2), created_at=published)]
    taint = taint_of(a_plan(), releases, MONTH)
    assert taint == ReferenceTaint(release=2, tainted_at=published, purge_by=published + MONTH)
    later = [*releases, replace(forgetting(3), created_at=published + MONTH)]
    assert taint_of(a_plan(), later, MONTH) == taint


def test_the_newest_family_is_chosen() -> None:
    old, new = a_record(), a_record(a_plan(seed=7), built_at=NOW + timedelta(hours=1))
    assert choose_family([new, old], AUDIT, MODEL) == new
    assert choose_family([], AUDIT, MODEL) is None


OTHERS: dict[str, Model] = {
    "lineage": replace(MODEL, lineage="another"),
    "manifest": replace(
        MODEL, manifest=Manifest(digest=digest_of("other"), rows=30, train_rows=20, heldout_rows=10, label_max=9)
    ),
    "architecture": replace(MODEL, architecture=MODEL.architecture.model_copy(update={"name": "preresnet56"})),
}


@pytest.mark.parametrize("model", OTHERS.values(), ids=OTHERS)
def test_a_family_serves_no_other_model(model: Model) -> None:
    assert choose_family([a_record()], AUDIT, model) is None


def test_a_family_that_teaches_never_audits() -> None:
    assert choose_family([a_record(a_plan(purpose=TEACH))], AUDIT, MODEL) is None
    assert choose_family([a_record()], TEACH, MODEL) is None


def test_a_family_with_the_teachers_seed_does_not_audit() -> None:
    teacher = a_record(a_plan(purpose=TEACH, seed=1))
    same, other = a_record(a_plan(seed=1)), a_record(a_plan(seed=3))
    assert choose_family([same], AUDIT, MODEL, teacher=teacher) is None
    assert choose_family([same, other], AUDIT, MODEL, teacher=teacher) == other
    assert len(set(DEFAULT_SEEDS.values())) == len(ReferencePurpose)


def test_the_record_binds_plan_and_members_and_survives_json() -> None:
    record = a_record()
    assert ReferenceRecord.model_validate_json(record.to_bytes()) == record
    others = (
        a_record(a_plan(seed=2)),
        record.model_copy(update={"weights": (digest_of("other"), *record.weights[1:])}),
    )
    assert record.digest not in {other.digest for other in others}
    # The folder is known before the members are.
    assert others[1].plan.digest == record.plan.digest != others[0].plan.digest
