from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mcu_core import models, pipeline
from mcu_core.audit.batchnorm import batchnorm_rows, batchnorm_source
from mcu_core.config import AnotherPointRung, RetrainRung
from mcu_core.inference import reestimate_batchnorm
from mcu_core.report.evidence import BatchNormSource
from mcu_core.types import Outcome, Problem
from tests.audits import RUNG, retrained_as
from tests.cases import RECIPE, TINY, tiny_config, tiny_runtime


def source(problem: Problem, outcome: Outcome, rows: Tensor | None) -> BatchNormSource:
    return batchnorm_source(tiny_runtime(problem.data), outcome, problem.original.buffers, rows)


def with_statistics_of(problem: Problem, outcome: Outcome, rows: Tensor) -> Outcome:
    state = outcome.candidate.state
    return outcome.with_candidate(reestimate_batchnorm(tiny_runtime(problem.data), state, rows))


def test_the_statistics_of_a_pathway_point_are_reproduced(hidden: Problem, mcu: Outcome) -> None:
    assert source(hidden, mcu, batchnorm_rows(hidden, RUNG, 0)) is BatchNormSource.REPRODUCED


@pytest.mark.parametrize("part", ["forget", "test", "validation"])
def test_statistics_of_other_samples_are_different(hidden: Problem, mcu: Outcome, part: str) -> None:
    cheat = with_statistics_of(hidden, mcu, getattr(hidden, part))
    assert source(hidden, cheat, batchnorm_rows(hidden, RUNG, 0)) is BatchNormSource.DIFFERENT


def test_the_originals_statistics_are_different(hidden: Problem, mcu: Outcome) -> None:
    state = replace(mcu.candidate.state, buffers=hidden.original.buffers)
    rows = batchnorm_rows(hidden, RUNG, 0)
    assert source(hidden, mcu.with_candidate(state), rows) is BatchNormSource.DIFFERENT


def test_statistics_of_other_rows_of_d_r_are_different(hidden: Problem, mcu: Outcome) -> None:
    rows = batchnorm_rows(hidden, RUNG, 1)
    assert source(hidden, with_statistics_of(hidden, mcu, hidden.retain[:20]), rows) is BatchNormSource.DIFFERENT


def test_statistics_that_are_not_finite_are_different(hidden: Problem, mcu: Outcome) -> None:
    buffers = {
        name: tensor * torch.nan if name.endswith("var") else tensor
        for name, tensor in mcu.candidate.state.buffers.items()
    }
    broken = mcu.with_candidate(replace(mcu.candidate.state, buffers=buffers))
    assert source(hidden, broken, batchnorm_rows(hidden, RUNG, 0)) is BatchNormSource.DIFFERENT


def test_the_statistics_of_a_retrained_candidate_are_reproduced(hidden: Problem) -> None:
    rung = RetrainRung(recipe=RECIPE)
    made, rows = pipeline.run(hidden, rung, tiny_config(), 5), batchnorm_rows(hidden, rung, 5)
    assert source(hidden, made, rows) is BatchNormSource.REPRODUCED
    assert source(hidden, with_statistics_of(hidden, made, hidden.forget), rows) is BatchNormSource.DIFFERENT


def test_a_model_that_was_retrained_elsewhere_keeps_those_of_its_training(hidden: Problem, retrained: Outcome) -> None:
    assert source(hidden, retrained, None) is BatchNormSource.TRAINED


def test_a_pathway_point_without_known_rows_fails_closed(hidden: Problem, mcu: Outcome) -> None:
    assert source(hidden, mcu, None) is BatchNormSource.DIFFERENT


def test_another_point_estimates_on_rows_of_its_own_seed(hidden: Problem) -> None:
    rung = AnotherPointRung(selection=RUNG.selection)
    first, other = (batchnorm_rows(hidden, rung, seed) for seed in (0, 1))
    assert not torch.equal(first, other)
    assert bool(torch.isin(first, hidden.retain).all())


def test_a_network_without_batchnorm_has_nothing_to_check(hidden: Problem) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, TINY.classes))
    runtime = replace(tiny_runtime(hidden.data), model=network)
    state = models.state_of(network)
    assert batchnorm_source(runtime, retrained_as(state), {}, None) is BatchNormSource.NOT_PRESENT
