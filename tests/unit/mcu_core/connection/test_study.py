import pytest
import torch

from mcu_core import checkpoint
from mcu_core.config import ConnectionConfig
from mcu_core.connection.report import Connection, PathKind, PathReport
from mcu_core.connection.study import QUANTITIES, NamedModel, study_connection
from mcu_core.connection.barrier import deviation
from mcu_core.inference import accuracy, reestimate_batchnorm
from mcu_core.runtime import Runtime
from mcu_core.types import ImageData, Problem, ProgressUpdate
from tests.cases import tiny_data

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
        assert [summary.quantity for summary in path.summaries] == list(QUANTITIES)
        for name, read in QUANTITIES.items():
            found = deviation([point.t for point in path.points], [read(point) for point in path.points])
            summary = path.summary(name)
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
    images = 255 - problem.data.images
    images[kept] = problem.data.images[kept]
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


def test_a_quantity_that_nobody_measured_is_refused(connection: Connection) -> None:
    with pytest.raises(KeyError):
        connection.paths[0].summary("no such quantity")
