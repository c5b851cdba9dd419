from itertools import pairwise

import pytest
import torch

from mcu_core.audit.relearning import MARKS, relearn
from mcu_core.errors import DivergedError, SealedReadError
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


@pytest.mark.parametrize("factor", [torch.nan, 1e6])
def test_a_model_that_diverges_is_refused_with_what_it_does_not_stand(hidden: Problem, factor: float) -> None:
    params = {name: tensor * factor for name, tensor in hidden.original.params.items()}
    state = State(params=params, buffers=hidden.original.buffers)
    with pytest.raises(DivergedError, match=r"does not stand the relearning of the audit: .* lower the learning rate"):
        relearn(tiny_runtime(hidden.data), state, hidden.retain, stream(0, "test"))
