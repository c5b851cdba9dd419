from dataclasses import replace

import pytest
import torch

from mcu_core.connectivity.distribution import distance
from mcu_core.connectivity.sweep import SelectionRows, Sweep, selection_rows
from mcu_core.images import ImageData
from mcu_core.inference import accuracy, logits
from mcu_core.losses import label_logit
from mcu_core.report import References
from mcu_core.runtime import Runtime, stream
from mcu_core.types import Pathway, Problem, ProgressUpdate
from tests.cases import pixels_of, tiny_runtime, tiny_selection

REFERENCES = References(train_accuracy=1.0, validation_accuracy=0.5)


def sweep(problem: Problem, runtime: Runtime, seen: list[ProgressUpdate] | None = None) -> Sweep:
    original = problem.original.params
    rng = torch.Generator().manual_seed(0)
    end = {name: tensor + 0.05 * torch.randn(tensor.shape, generator=rng) for name, tensor in original.items()}
    control = {name: tensor * 0.9 for name, tensor in original.items()}
    return Sweep(
        runtime=runtime,
        pathway=Pathway(original=original, control=control, end=end, mask=frozenset(original)),
        buffers=problem.original.buffers,
        rows=selection_rows(problem, tiny_selection(), stream(0, "selection")),
        references=REFERENCES,
        progress=(seen if seen is not None else []).append,
    )


def test_many_points_are_measured_as_one_by_one(problem: Problem, runtime: Runtime) -> None:
    whole = sweep(problem, runtime)
    positions = [0.0, 0.4, 1.0]
    points = whole.measure(positions)
    for t, point in zip(positions, points, strict=True):
        assert point.t == t
        assert whole.measure([t]) == (point,)
        state = whole.state_at(t)
        assert point.forget_accuracy == accuracy(runtime, state, problem.forget)
        assert point.retain_accuracy == accuracy(runtime, state, whole.rows.retain)
        assert point.validation_accuracy == accuracy(runtime, state, problem.validation)


def test_the_choice_never_depends_on_test_or_sealed_samples(problem: Problem, runtime: Runtime) -> None:
    kept = torch.cat([problem.forget, problem.retain, problem.validation])
    images = 255 - pixels_of(problem)
    images[kept] = pixels_of(problem)[kept]
    other = tiny_runtime(ImageData(images=images, labels=problem.data.labels))
    positions = [0.2, 0.9]
    assert sweep(problem, runtime).measure(positions) == sweep(problem, other).measure(positions)


def test_batchnorm_at_a_point_reads_no_sample_of_d_f(problem: Problem, runtime: Runtime) -> None:
    images = 255 - pixels_of(problem)
    images[problem.retain] = pixels_of(problem)[problem.retain]
    other = tiny_runtime(ImageData(images=images, labels=problem.data.labels))
    first, second = (sweep(problem, where).state_at(0.7).buffers for where in (runtime, other))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_the_rows_of_the_choice_come_from_their_parts(problem: Problem) -> None:
    rows: SelectionRows = selection_rows(problem, tiny_selection(), stream(0, "selection"))
    retain = set(problem.retain.tolist())
    assert set(rows.batchnorm.tolist()) <= retain
    assert set(rows.retain.tolist()) <= retain
    assert rows.forget is problem.forget
    assert rows.validation is problem.validation


def test_progress_reaches_its_end(problem: Problem, runtime: Runtime) -> None:
    seen: list[ProgressUpdate] = []
    sweep(problem, runtime, seen).measure([0.5, 0.6])
    assert [update.step for update in seen] == list(range(1, seen[0].steps + 1))


def test_a_point_that_is_no_position_is_refused(problem: Problem, runtime: Runtime) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        sweep(problem, runtime).measure([1.5])


def test_scores_are_compared_between_d_f_and_class_matched_samples_of_d_v(problem: Problem, runtime: Runtime) -> None:
    untaught = replace(problem, teacher=None)
    whole = sweep(untaught, runtime)
    (point,) = whole.measure([0.4])
    state = whole.state_at(0.4)
    assert whole.rows.compared is not None
    compared = problem.validation[whole.rows.compared]
    labels = problem.data.labels
    forget, unseen = (
        label_logit(logits(runtime, state, rows).double(), labels[rows]).numpy() for rows in (problem.forget, compared)
    )
    expected = distance(forget, unseen)
    assert point.auc == pytest.approx(expected.auc)
    assert point.distance == pytest.approx(expected.total)
    shares = [torch.bincount(labels[rows], minlength=3) / len(rows) for rows in (problem.forget, compared)]
    assert float((shares[0] - shares[1]).abs().max()) < 0.15


def test_a_class_that_d_v_lacks_is_left_out_of_the_comparison(problem: Problem) -> None:
    labels = problem.data.labels.clone()
    labels[problem.validation] = 1
    alone = replace(problem, data=ImageData(images=pixels_of(problem), labels=labels))
    compared = selection_rows(alone, tiny_selection(), stream(0, "selection")).compared
    assert compared is not None
    assert len(compared) == len(problem.validation)


def test_where_a_class_goes_entirely_scores_say_nothing(problem: Problem, runtime: Runtime) -> None:
    train = torch.cat([problem.forget, problem.retain])
    is_first = problem.data.labels[train] == 0
    whole = replace(problem, forget=train[is_first], retain=train[~is_first], teacher=None)
    (point,) = sweep(whole, runtime).measure([0.4])
    assert (point.auc, point.distance) == (None, None)


def test_what_a_teacher_knows_of_a_sample_is_taken_off(problem: Problem, runtime: Runtime) -> None:
    """A model that answers as the teacher does is at no distance, however hard the samples of D_f are."""
    whole = sweep(problem, runtime)
    assert whole.rows.compared is not None
    validation = torch.zeros(len(problem.validation), dtype=torch.float64)
    validation[whole.rows.compared] = whole.rows.known_compared
    found = whole._distance(whole.rows.known_forget, validation)
    assert found is not None
    assert found.total == pytest.approx(0.0, abs=1e-9)
    assert bool(whole.rows.known_forget.any())
