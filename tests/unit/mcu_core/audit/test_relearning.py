from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_core.audit.relearning import MARKS, class_weights, matched_auc, relearn
from mcu_core.errors import DataError, DivergedError, SealedReadError
from mcu_core.images import SealedSamples
from mcu_core.inference import accuracy
from mcu_core.runtime import stream
from mcu_core.types import Outcome, Problem, State
from tests.cases import tiny_runtime


def test_the_model_is_kept_at_every_mark(hidden: Problem, retrained: Outcome) -> None:
    runtime = tiny_runtime(hidden.data)
    models = relearn(runtime, retrained.candidate.state, hidden.retain, stream(0, "test"))
    assert tuple(model.epochs for model in models) == MARKS
    heads = [model.state.params["head.weight"] for model in models]
    assert not any(torch.equal(one, other) for one, other in pairwise(heads))
    assert accuracy(runtime, models[-1].state, hidden.retain) > 0.9


def test_relearning_reads_d_r_alone(hidden: Problem, sealed: SealedSamples, retrained: Outcome) -> None:
    with pytest.raises(SealedReadError):
        relearn(tiny_runtime(hidden.data), retrained.candidate.state, sealed.evaluation, stream(0, "test"))


def test_relearning_repeats_with_its_seed_and_leaves_the_candidate(hidden: Problem, retrained: Outcome) -> None:
    runtime, state = tiny_runtime(hidden.data), retrained.candidate.state
    before = {name: tensor.clone() for name, tensor in state.params.items()}
    first, again = (relearn(runtime, state, hidden.retain, stream(4, "test"))[-1].state for _ in range(2))
    assert all(torch.equal(tensor, again.params[name]) for name, tensor in first.params.items())
    assert all(torch.equal(tensor, state.params[name]) for name, tensor in before.items())


def test_a_part_of_the_epoch_without_two_images_is_passed_over(hidden: Problem, retrained: Outcome) -> None:
    models = relearn(tiny_runtime(hidden.data), retrained.candidate.state, hidden.retain[:3], stream(0, "test"))
    assert models[0].state is retrained.candidate.state
    assert len(models) == len(MARKS)


def test_a_model_that_diverges_is_refused(hidden: Problem) -> None:
    params = {name: tensor * torch.nan for name, tensor in hidden.original.params.items()}
    state = State(params=params, buffers=hidden.original.buffers)
    with pytest.raises(DivergedError):
        relearn(tiny_runtime(hidden.data), state, hidden.retain, stream(0, "test"))


labels = st.lists(st.integers(0, 2), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(labels, labels, st.integers(0, 999))
def test_the_matched_auc_equals_its_double_sum(own: list[int], others: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    forget, nonmembers = (rng.integers(0, 4, len(part)).astype(np.float64) for part in (own, others))
    mine, theirs = np.array(own), np.array(others)
    if not set(own) & set(others):
        with pytest.raises(DataError, match="has a class of D_f"):
            matched_auc(forget, nonmembers, mine, theirs)
        return
    weights = np.array([own.count(label) / others.count(label) for label in others])
    above = (forget[:, None] > nonmembers) + 0.5 * (forget[:, None] == nonmembers)
    expected = float((above * weights).sum() / (len(own) * weights.sum()))
    assert matched_auc(forget, nonmembers, mine, theirs) == pytest.approx(expected)
    np.testing.assert_allclose(class_weights(mine, theirs), weights)


def test_classes_that_differ_in_size_alone_give_an_auc_of_one_half() -> None:
    own, others = np.array([0] * 9 + [1]), np.array([0, 1] * 50)
    assert matched_auc(own * 5.0, others * 5.0, own, others) == pytest.approx(0.5)
