"""Leave-out references: nobody is asked about a sample that it has seen."""

from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mcu_core.config import ReferenceFamilyConfig
from mcu_core.errors import DataError
from mcu_core.images import ImageData
from mcu_core.inference import logits
from mcu_core.losses import label_logit
from mcu_core.references import (
    ReferenceFamily,
    assemble_family,
    calibrated_scores,
    deal_folds,
    folds_of_subjects,
    teacher_of,
    train_reference,
)
from mcu_core.runtime import Runtime
from mcu_core.types import Problem
from tests.cases import RECIPE, TRAIN, tiny_problem, tiny_runtime

CONFIG = ReferenceFamilyConfig(folds=3, recipe=RECIPE, seed=1)
ROWS = torch.arange(TRAIN)


@pytest.fixture(scope="module")
def family() -> ReferenceFamily:
    runtime = tiny_runtime(tiny_problem().data)
    return assemble_family(ROWS, CONFIG, [train_reference(runtime, ROWS, CONFIG, fold) for fold in range(3)])


@given(st.integers(2, 50), st.integers(2, 10), st.integers(0, 9))
def test_folds_are_of_nearly_equal_size(count: int, folds: int, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    if folds > count:
        with pytest.raises(DataError, match="cannot be dealt"):
            deal_folds(count, folds, rng)
        return
    sizes = torch.bincount(deal_folds(count, folds, rng), minlength=folds)
    assert int(sizes.max() - sizes.min()) <= 1


subjects = st.lists(st.text("abcdefgh", min_size=1, max_size=2), min_size=40, max_size=120)


@given(subjects, st.binary(min_size=1, max_size=64), st.randoms(use_true_random=False))
def test_the_fold_of_a_subject_depends_on_nothing_but_subject_and_key(
    keys: list[str], key: bytes, random: Random
) -> None:
    try:
        dealt = dict(zip(keys, folds_of_subjects(keys, key, 2).tolist(), strict=True))
    except DataError:
        return  # so few subjects that a fold is empty
    random.shuffle(keys)
    assert folds_of_subjects(keys, key, 2).tolist() == [dealt[subject] for subject in keys]


def test_keyed_folds_are_of_about_equal_size_and_another_key_deals_others() -> None:
    keys = [f"person-{number}" for number in range(2000)]
    one, other = (folds_of_subjects(keys, key, 5) for key in (b"one", b"other"))
    # Binomial: 400 with a deviation of 18; five of them.
    assert torch.bincount(one).tolist() == pytest.approx([400] * 5, abs=90)
    assert float((one == other).float().mean()) == pytest.approx(0.2, abs=0.05)


def test_too_few_subjects_for_the_folds_are_refused() -> None:
    with pytest.raises(DataError, match="1 subjects cannot be dealt to 2 folds"):
        folds_of_subjects(["a", "a", "a"], b"key", 2)
    with pytest.raises(DataError, match="got none of 6 subjects"):
        folds_of_subjects(list("abcdef"), b"key", 6)


def test_a_member_trained_with_given_folds_never_reads_its_own(runtime: Runtime, problem: Problem) -> None:
    folds = (ROWS % 7 == 0).long()
    config = CONFIG.model_copy(update={"folds": 2})
    spoiled = tiny_runtime(ImageData(images=problem.data.images.clone(), labels=problem.data.labels))
    spoiled.reader.data.images[: len(ROWS)][folds == 1] = 0
    one, other = (train_reference(world, ROWS, config, 1, folds=folds) for world in (runtime, spoiled))
    assert all(torch.equal(one.params[name], other.params[name]) for name in one.params)
    family = assemble_family(ROWS, config, [one, other], folds=folds)
    assert torch.equal(family.folds_of(ROWS), folds)


def test_members_have_memorised_what_they_saw_and_not_what_they_did_not(
    family: ReferenceFamily, runtime: Runtime, problem: Problem
) -> None:
    """D_f has random labels, which can only be memorised."""
    labels, folds = problem.data.labels[problem.forget], family.folds_of(problem.forget)
    right = torch.stack([logits(runtime, model, problem.forget).argmax(dim=1) == labels for model in family.models])
    unseen = folds == torch.arange(3).unsqueeze(1)
    assert float(right[~unseen].float().mean()) > float(right[unseen].float().mean()) + 0.25


def test_a_sample_is_answered_by_the_member_that_never_saw_it(family: ReferenceFamily, runtime: Runtime) -> None:
    rows = torch.tensor([5, 0, 77, 119, 5])
    answers = family.answers(runtime, rows)
    for row, answer in zip(rows.tolist(), answers, strict=True):
        member = family.models[int(family.folds[row])]
        torch.testing.assert_close(answer, logits(runtime, member, torch.tensor([row]))[0])


def test_what_nobody_saw_is_shared_out_among_all_members(family: ReferenceFamily) -> None:
    assert set(family.folds_of(torch.arange(TRAIN, TRAIN + 9)).tolist()) == {0, 1, 2}


def test_the_order_of_the_training_set_plays_no_part(runtime: Runtime, family: ReferenceFamily) -> None:
    again = assemble_family(ROWS.flip(0), CONFIG, family.models)
    assert torch.equal(again.folds_of(ROWS), family.folds_of(ROWS))


def test_another_seed_deals_other_folds(family: ReferenceFamily) -> None:
    other = assemble_family(ROWS, CONFIG.model_copy(update={"seed": 2}), family.models)
    assert not torch.equal(other.folds, family.folds)


def test_a_family_of_too_few_members_is_refused(family: ReferenceFamily) -> None:
    with pytest.raises(DataError, match="3 folds needs as many models, got 2"):
        assemble_family(ROWS, CONFIG, family.models[:2])


def test_teachers_are_averaged_as_probabilities(family: ReferenceFamily, runtime: Runtime, problem: Problem) -> None:
    teacher = teacher_of([family, family], runtime, problem.forget, problem.validation)
    for answers, rows in ((teacher.forget, problem.forget), (teacher.validation, problem.validation)):
        torch.testing.assert_close(answers, family.answers(runtime, rows).softmax(dim=1))
        torch.testing.assert_close(answers.sum(dim=1), torch.ones(len(rows)))


def test_calibration_takes_away_how_hard_a_sample_is(
    family: ReferenceFamily, runtime: Runtime, problem: Problem
) -> None:
    rows = torch.cat([problem.forget, problem.test])
    assert not calibrated_scores(family, runtime, rows, lambda part: family.answers(runtime, part)).any()
    kept = calibrated_scores(family, runtime, rows, lambda part: logits(runtime, problem.original, part))
    own = label_logit(logits(runtime, problem.original, rows).double(), problem.data.labels[rows])
    theirs = label_logit(family.answers(runtime, rows).double(), problem.data.labels[rows])
    torch.testing.assert_close(kept, own - theirs)
