from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from mcu_core import checkpoint
from mcu_core.config import ConnectionConfig, Precision
from mcu_core.connection.barrier import deviation
from mcu_core.connection.measure import study_rows
from mcu_core.connection.page import connection_page
from mcu_core.connection.report import Connection, PathKind, PathReport
from mcu_core.connection.study import QUANTITIES, NamedModel, study_connection
from mcu_core.images import ImageData
from mcu_core.inference import accuracy, reestimate_batchnorm
from mcu_core.runtime import Runtime, stream
from mcu_core.types import Params, Problem, ProgressUpdate
from tests.cases import pixels_of, tiny_data

Ends = tuple[NamedModel, NamedModel]


def untimed(paths: tuple[PathReport, ...]) -> list[PathReport]:
    return [path.model_copy(update={"seconds": 0.0}) for path in paths]


def test_there_is_a_straight_and_a_trained_path_over_all_positions(connection: Connection) -> None:
    assert [path.kind for path in connection.paths] == [PathKind.LINEAR, PathKind.QUADRATIC]
    for path in connection.paths:
        assert [point.t for point in path.points] == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_both_paths_have_the_same_ends(connection: Connection) -> None:
    straight, curve = connection.paths
    assert (straight.points[0], straight.points[-1]) == (curve.points[0], curve.points[-1])


def test_the_ends_are_the_models_with_statistics_of_d_r(
    problem: Problem, runtime: Runtime, ends: Ends, small: ConnectionConfig
) -> None:
    everything = small.model_copy(update={"batchnorm_images": len(problem.retain)})
    points = study_connection(problem, *ends, everything, 0).paths[0].points
    for end, point in zip(ends, (points[0], points[-1]), strict=True):
        state = reestimate_batchnorm(runtime, end.state, problem.retain)
        # Cumulative averages over batches depend a little on which images share one.
        assert point.unlearning_accuracy == pytest.approx(
            1.0 - accuracy(runtime, state, problem.forget), abs=1.5 / len(problem.forget)
        )


def test_an_end_is_entirely_similar_to_itself(connection: Connection) -> None:
    for path in connection.paths:
        for similarity in (path.points[0].first, path.points[-1].second):
            assert similarity.forget_agreement == similarity.test_agreement == 1.0
            assert similarity.forget_cka == pytest.approx(1.0, abs=1e-9)
            assert similarity.test_cka == pytest.approx(1.0, abs=1e-9)


def test_the_similarity_of_the_ends_is_the_same_from_either(connection: Connection) -> None:
    points = connection.paths[0].points
    assert points[0].second.model_dump() == pytest.approx(points[-1].first.model_dump(), abs=1e-9)


def test_every_quantity_is_summarised_from_its_points(connection: Connection) -> None:
    for path in connection.paths:
        assert [summary.quantity for summary in path.summaries] == [name for name in QUANTITIES if name != "UA_test"]
        for summary in path.summaries:
            read = QUANTITIES[summary.quantity]
            values = [value for point in path.points if (value := read(point)) is not None]
            found = deviation([point.t for point in path.points], values)
            assert (summary.rise, summary.dip, summary.fluctuation) == (found.rise, found.dip, found.fluctuation)


def test_a_model_is_connected_to_itself_without_any_barrier(
    problem: Problem, ends: Ends, small: ConnectionConfig
) -> None:
    straight = study_connection(problem, ends[0], ends[0], small, 0).paths[0]
    for summary in straight.summaries:
        assert (summary.rise, summary.dip, summary.fluctuation) == (0.0, 0.0, 0.0)


def test_training_lowers_the_objective_below_the_straight_line(connection: Connection) -> None:
    straight, curve = ([point.objective for point in path.points] for path in connection.paths)
    assert sum(curve) < sum(straight)


def without_a_class(problem: Problem) -> Problem:
    """Return the problem with all of class 0 in D_f, and nothing else."""
    train = torch.cat([problem.forget, problem.retain])
    gone = problem.data.labels[train] == 0
    return replace(problem, forget=train[gone], retain=train[~gone], teacher=None)


def test_a_forgotten_class_is_measured_apart_from_ta(
    problem: Problem, runtime: Runtime, ends: Ends, small: ConnectionConfig
) -> None:
    params = dict(ends[0].state.params)
    params["head.bias"] = params["head.bias"] - torch.tensor([1e3, 0.0, 0.0])  # never answers class 0
    end = replace(ends[0], state=replace(ends[0].state, params=params))
    classwise = without_a_class(problem)
    everything = {"test_images": len(problem.test), "batchnorm_images": len(problem.retain)}
    path = study_connection(classwise, end, end, small.model_copy(update=everything), 0).paths[0]
    rest = problem.test[problem.data.labels[problem.test] != 0]
    state = reestimate_batchnorm(runtime, end.state, classwise.retain)
    (of_class,) = (summary for summary in path.summaries if summary.quantity == "UA_test")
    assert of_class.at_first == path.points[0].class_unlearning_accuracy == 1.0
    # Cumulative averages over batches depend a little on which images share one.
    assert path.points[0].test_accuracy == pytest.approx(accuracy(runtime, state, rest), abs=1.5 / len(rest))


def test_the_attack_is_compared_with_samples_in_the_proportions_of_d_f(
    problem: Problem, runtime: Runtime, small: ConnectionConfig
) -> None:
    classwise = without_a_class(problem)
    rows = study_rows(classwise, runtime, small, stream(0, "rows"))
    assert set(problem.data.labels[rows.validation].tolist()) == {0}
    assert 0 not in problem.data.labels[rows.test]


def test_one_forgotten_sample_is_connected_without_an_alignment_on_it(
    problem: Problem, ends: Ends, small: ConnectionConfig
) -> None:
    found = study_connection(replace(problem, forget=problem.forget[:1], teacher=None), *ends, small, 0)
    assert all(point.first.forget_cka is None for path in found.paths for point in path.points)
    assert all(point.first.test_cka is not None for path in found.paths for point in path.points)
    assert "| – |" in connection_page(found)


def test_a_control_point_that_was_kept_is_not_trained_again(
    problem: Problem, ends: Ends, small: ConnectionConfig, connection: Connection
) -> None:
    made: list[Params] = []

    def keep(make: Callable[[], Params]) -> Params:
        made.append(make())
        return made[-1]

    def kept(_make: Callable[[], Params]) -> Params:
        return made[-1]

    for how in (keep, kept):
        found = study_connection(problem, *ends, small, 0, keep_control=how)
        assert untimed(found.paths) == untimed(connection.paths)
    assert len(made) == 1


def test_both_paths_are_measured_in_float32_whatever_the_curve_is_trained_in(
    problem: Problem, ends: Ends, small: ConnectionConfig
) -> None:
    def kept(_make: Callable[[], Params]) -> Params:
        return ends[0].state.params

    half = small.model_copy(update={"precision": Precision.BFLOAT16})
    first, second = (study_connection(problem, *ends, config, 0, keep_control=kept).paths for config in (small, half))
    assert untimed(first) == untimed(second)


def test_the_same_seed_gives_the_same_study(
    problem: Problem, ends: Ends, small: ConnectionConfig, connection: Connection
) -> None:
    torch.rand(3)  # the global random state plays no part
    again = study_connection(problem, *ends, small, 0)
    assert untimed(again.paths) == untimed(connection.paths)


def test_the_curve_never_depends_on_held_out_samples(
    problem: Problem, ends: Ends, small: ConnectionConfig, connection: Connection
) -> None:
    kept = torch.cat([problem.forget, problem.retain])
    images = 255 - pixels_of(problem)
    images[kept] = pixels_of(problem)[kept]
    other = Problem(
        model=problem.model,
        architecture=problem.architecture,
        original=problem.original,
        data=ImageData(images=images, labels=tiny_data().labels),
        forget=problem.forget,
        retain=problem.retain,
        validation=problem.validation,
        test=problem.test,
    )
    found = study_connection(other, *ends, small, 0)
    for path, before in zip(found.paths, connection.paths, strict=True):
        assert [point.objective for point in path.points] == [point.objective for point in before.points]


def test_the_result_names_its_ends_by_their_files(connection: Connection, ends: Ends) -> None:
    assert [connection.first.digest, connection.second.digest] == [checkpoint.digest(end.state) for end in ends]
    assert connection.distance > 0.0


def test_the_result_survives_json(connection: Connection) -> None:
    assert Connection.model_validate_json(connection.model_dump_json()) == connection


def test_progress_reaches_its_end_on_every_path(problem: Problem, ends: Ends, small: ConnectionConfig) -> None:
    seen: list[ProgressUpdate] = []
    study_connection(problem, *ends, small, 0, progress=seen.append)
    measured = [update for update in seen if update.phase == "audit"]
    assert [update.step for update in measured] == 2 * list(range(1, measured[0].steps + 1))
