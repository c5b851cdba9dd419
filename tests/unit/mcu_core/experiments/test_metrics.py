from dataclasses import replace

import pytest
import torch

from mcu_core.experiments.metrics import MeasuredRows, average_gap, compared, draw_measured_rows, measure
from mcu_core.experiments.setup import RandomShare, WholeClass, draw_split
from mcu_core.inference import accuracy
from mcu_core.runtime import Runtime
from mcu_core.types import Problem
from tests.cases import tiny_sealed
from tests.studies import metrics_of, tiny_samples, tiny_world

TRUTH = metrics_of(unlearning=0.10, retain=0.99, test=0.90, attack=0.20)


def rows_of(problem: Problem, *, class_test: bool = False) -> MeasuredRows:
    return MeasuredRows(
        forget=problem.forget,
        retain=problem.retain,
        test=problem.test,
        class_test=problem.validation if class_test else problem.test[:0],
        sealed=tiny_sealed().evaluation,
        members=torch.arange(30),
        nonmembers=torch.arange(30),
    )


def test_avg_gap_is_the_mean_distance_of_the_four_metrics() -> None:
    found = metrics_of(unlearning=0.14, retain=0.97, test=0.91, attack=0.19)
    assert average_gap(found, TRUTH) == pytest.approx((0.04 + 0.02 + 0.01 + 0.01) / 4)


def test_avg_gap_of_a_forgotten_class_counts_its_test_images() -> None:
    truth = metrics_of(unlearning=1.0, retain=1.0, test=0.9, attack=1.0, class_unlearning=1.0)
    found = metrics_of(unlearning=0.9, retain=1.0, test=0.9, attack=1.0, class_unlearning=0.8)
    assert average_gap(found, truth) == pytest.approx((0.1 + 0.2) / 5)
    assert list(compared(found)) == ["UA", "UA_test", "RA", "TA", "MIA"]


def test_the_retrained_model_has_no_gap() -> None:
    assert average_gap(TRUTH, TRUTH) == 0.0


def test_rates_are_those_of_the_model(problem: Problem, runtime: Runtime) -> None:
    metrics = measure(runtime, problem.original, rows_of(problem, class_test=True))
    assert metrics.unlearning == pytest.approx(1.0 - accuracy(runtime, problem.original, problem.forget))
    assert metrics.retain == accuracy(runtime, problem.original, problem.retain)
    assert metrics.test == accuracy(runtime, problem.original, problem.test)
    assert metrics.class_unlearning == 1.0 - accuracy(runtime, problem.original, problem.validation)


def test_a_model_is_measured_in_float32_whatever_it_was_trained_in(problem: Problem, runtime: Runtime) -> None:
    rows = rows_of(problem, class_test=True)
    half = replace(runtime, dtype=torch.bfloat16)
    assert measure(half, problem.original, rows) == measure(runtime, problem.original, rows)


def test_a_model_that_memorised_d_f_is_seen(problem: Problem, runtime: Runtime) -> None:
    metrics = measure(runtime, problem.original, rows_of(problem))
    assert metrics.class_unlearning is None
    assert metrics.auc.value > 0.8
    assert metrics.membership.gap > 0.3
    assert [tail.side for tail in metrics.tails] == ["upper", "lower"]


def test_sealed_samples_have_the_classes_of_what_is_forgotten() -> None:
    samples = tiny_samples()
    split = draw_split(samples, tiny_world(), WholeClass(label=1))
    rows = draw_measured_rows(samples.data.labels, split, 0)
    assert set(samples.data.labels[rows.sealed].tolist()) == {1}
    assert set(rows.sealed.tolist()) <= set(split.sealed.tolist())


def test_the_attack_is_fitted_on_as_many_members_as_non_members() -> None:
    samples = tiny_samples()
    split = draw_split(samples, tiny_world(), RandomShare())
    rows = draw_measured_rows(samples.data.labels, split, 0)
    assert len(rows.members) == len(rows.nonmembers) == min(len(split.retain), len(split.test))
    assert int(rows.members.max()) < len(rows.retain)
    assert int(rows.nonmembers.max()) < len(rows.test)
