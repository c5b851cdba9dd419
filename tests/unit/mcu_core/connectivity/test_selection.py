from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcu_core.config import Criterion, PointPolicy, SelectionConfig
from mcu_core.connectivity.selection import align_in_window, choose_point, choose_untried, effective_region
from mcu_core.connectivity.sweep import path_point
from mcu_core.errors import ConfigurationError
from mcu_core.report import PathPoint, References

REFERENCES = References(train_accuracy=1.0, validation_accuracy=0.8)


class Curve:
    """A pathway of known accuracies that remembers where it was measured."""

    def __init__(
        self,
        forget: Callable[[float], float],
        retain: Callable[[float], float] = lambda _: 1.0,
        validation: Callable[[float], float] = lambda _: 0.8,
    ) -> None:
        self._forget, self._retain, self._validation = forget, retain, validation
        self.calls: list[list[float]] = []

    def __call__(self, positions: Sequence[float]) -> tuple[PathPoint, ...]:
        self.calls.append(list(positions))
        return tuple(
            path_point(
                t,
                forget=self._forget(t),
                retain=self._retain(t),
                validation=self._validation(t),
                references=REFERENCES,
            )
            for t in positions
        )


def test_the_gap_is_the_mean_of_both_distances() -> None:
    point = path_point(0.5, forget=0.9, retain=0.96, validation=0.1, references=REFERENCES)
    assert point.gap == pytest.approx((0.1 + 0.04) / 2)


@given(st.floats(0.77, 0.99))
def test_the_optimum_of_a_cubic_is_found_within_the_grid(best: float) -> None:
    curve = Curve(lambda t: 0.8 + 0.3 * (best - t) + 2.0 * (best - t) ** 3)  # A_v is crossed at `best`
    choice = choose_point(curve, REFERENCES, SelectionConfig())
    assert choice.t == pytest.approx(best, abs=0.25 / 25 / 2 + 1e-6)


@given(st.floats(0.77, 0.99))
def test_the_accuracy_on_d_r_decides_where_that_on_d_f_does_not(best: float) -> None:
    curve = Curve(lambda _: 0.8, lambda t: 0.99 - (t - best) ** 2)
    choice = choose_point(curve, REFERENCES, SelectionConfig())
    assert choice.t == pytest.approx(best, abs=0.25 / 25 / 2 + 1e-6)


def test_accuracies_are_interpolated_and_not_the_gap() -> None:
    """The gap of a straight line has a kink that no cubic through four of its points finds."""
    curve = Curve(lambda t: 0.8 + (0.86 - t))
    assert choose_point(curve, REFERENCES, SelectionConfig()).t == pytest.approx(0.86, abs=1e-9)


def test_four_points_and_the_estimated_optimum_are_evaluated() -> None:
    curve = Curve(lambda t: 0.8 + (0.86 - t))
    choice = choose_point(curve, REFERENCES, SelectionConfig())
    assert [point.t for point in choice.evaluated] == pytest.approx([0.75, 5 / 6, 11 / 12, 1.0, 0.86])


def test_sweep_and_window_are_measured_in_one_pass() -> None:
    curve = Curve(lambda t: 0.8 + (0.86 - t))
    choose_point(curve, REFERENCES, SelectionConfig())
    assert [len(call) for call in curve.calls] == [24, 1]


def test_without_a_sweep_the_choice_costs_four_evaluations_beyond_the_end() -> None:
    curve = Curve(lambda t: 0.8 + (0.86 - t))
    choice = choose_point(curve, REFERENCES, SelectionConfig(sweep=False))
    measured = [t for call in curve.calls for t in call]
    assert len([t for t in measured if t < 1.0]) == 4
    assert (choice.sweep, choice.region) == ((), ())


def test_the_sweep_does_not_change_the_balanced_choice() -> None:
    curve = Curve(lambda t: 0.8 + (0.9 - t) ** 3, lambda t: 1.0 - 0.1 * t**2)
    choices = [choose_point(curve, REFERENCES, SelectionConfig(sweep=sweep)) for sweep in (True, False)]
    assert choices[0].t == choices[1].t
    assert choices[0].evaluated == choices[1].evaluated


@pytest.mark.parametrize("policy", [PointPolicy.PRIVACY_FIRST, PointPolicy.UTILITY_FIRST])
def test_without_a_sweep_every_policy_chooses_in_the_window(policy: PointPolicy) -> None:
    curve = Curve(lambda t: 0.8 + 0.3 * (0.86 - t))
    choice = choose_point(curve, REFERENCES, SelectionConfig(policy=policy, sweep=False))
    assert choice.t in {point.t for point in choice.evaluated}


def test_an_estimate_that_turns_out_worse_is_not_chosen() -> None:
    def forget(t: float) -> float:
        return 0.81 if abs(t - 1.0) < 1e-9 else 0.8 + (0.86 - t) + (0.5 if abs(t - 0.86) < 0.02 else 0.0)

    choice = choose_point(Curve(forget), REFERENCES, SelectionConfig())
    assert choice.t == min(choice.evaluated, key=lambda point: point.gap).t
    assert choice.t != pytest.approx(0.86, abs=0.02)


@pytest.mark.parametrize("best", [0.66, 0.42, 0.1])
def test_the_window_is_extended_leftwards_when_the_optimum_sits_on_its_edge(best: float) -> None:
    choice = choose_point(Curve(lambda t: 0.8 + 0.2 * (best - t)), REFERENCES, SelectionConfig())
    assert choice.t == pytest.approx(best, abs=0.02)


def test_the_original_is_never_chosen() -> None:
    choice = choose_point(Curve(lambda t: 0.8 + 0.1 * t, lambda t: 1.0 - t), REFERENCES, SelectionConfig())
    assert choice.t >= 1 / 19 - 1e-9


def test_the_window_alone_decides_the_balanced_choice() -> None:
    curve = Curve(lambda t: 0.8 if t < 0.3 else 1.0 - 0.1 * t)
    window = curve(np.linspace(0.75, 1.0, 4).tolist())
    evaluated = align_in_window(curve, window, REFERENCES, SelectionConfig())
    assert choose_point(curve, REFERENCES, SelectionConfig()).t in {point.t for point in evaluated}


def sweep_of(gap: Callable[[float], float], points: int = 20) -> list[PathPoint]:
    return [
        PathPoint(t=t, forget_accuracy=0.0, retain_accuracy=0.0, validation_accuracy=0.0, gap=gap(t))
        for t in np.linspace(0.0, 1.0, points).tolist()
    ]


def test_the_region_of_a_parabola_is_one_interval() -> None:
    (region,) = effective_region(sweep_of(lambda t: (t - 0.7) ** 2))
    assert (region.start, region.end) == pytest.approx((0.4, 1.0), abs=1e-6)


def test_the_region_may_have_several_parts() -> None:
    first, second = effective_region(sweep_of(lambda t: 0.5 + 0.1 * float(np.cos(4 * np.pi * t)) * (1.2 - t), 60))
    assert first.end < second.start


def test_no_region_where_no_point_beats_the_end() -> None:
    assert effective_region(sweep_of(lambda t: 1.0 - t)) == ()


@given(st.lists(st.floats(0.0, 0.5), min_size=4, max_size=30))
def test_the_region_agrees_with_every_measured_point(gaps: list[float]) -> None:
    positions = np.linspace(0.0, 1.0, len(gaps)).tolist()
    sweep = [
        PathPoint(t=t, forget_accuracy=0.0, retain_accuracy=0.0, validation_accuracy=0.0, gap=gap)
        for t, gap in zip(positions, gaps, strict=True)
    ]
    region = effective_region(sweep)
    assert all(first.end < second.start for first, second in pairwise(region))
    for point in sweep:
        distance = sweep[-1].gap - point.gap
        inside = any(part.start - 1e-6 <= point.t <= part.end + 1e-6 for part in region)
        if abs(distance) > 1e-3:  # nearer than that, a root may lie on either side of the point
            assert inside == (distance > 0)


def point(t: float, forget: float, retain: float) -> PathPoint:
    return path_point(t, forget=forget, retain=retain, validation=0.8, references=REFERENCES)


POINTS = (
    point(0.0, 1.0, 1.0),
    point(0.3, 0.97, 1.0),
    point(0.6, 0.86, 0.99),
    point(0.8, 0.78, 0.985),
    point(0.9, 0.60, 0.985),
    point(1.0, 0.80, 0.90),
)


def choose(policy: PointPolicy, *tried: float, points: Sequence[PathPoint] = POINTS) -> float:
    region = effective_region(points) if len(points) >= 4 else ()
    return choose_untried(points, region, REFERENCES, SelectionConfig(policy=policy), tried=tried).t


def test_privacy_first_takes_the_point_nearest_to_unseen_data_whose_utility_is_in_bounds() -> None:
    assert choose(PointPolicy.PRIVACY_FIRST) == 0.8


def test_privacy_first_goes_on_to_the_next_when_that_was_tried() -> None:
    assert choose(PointPolicy.PRIVACY_FIRST, 0.8) == 0.6


def test_privacy_first_prefers_the_better_of_both_sides_to_over_forgetting() -> None:
    assert choose(PointPolicy.PRIVACY_FIRST, 0.8, 0.6) == 0.3  # .97 is nearer to .80 than .60 is


def test_privacy_first_falls_back_to_the_gap_when_no_utility_is_in_bounds() -> None:
    points = [point(0.5, 0.9, 0.5), point(0.7, 0.8, 0.4), point(1.0, 0.7, 0.7)]
    assert choose(PointPolicy.PRIVACY_FIRST, points=points) == 1.0


def test_utility_first_takes_the_highest_retain_accuracy_of_the_region() -> None:
    assert choose(PointPolicy.UTILITY_FIRST) == 0.6


def test_a_point_right_beside_a_tried_one_counts_as_tried() -> None:
    assert choose(PointPolicy.PRIVACY_FIRST, 0.79) == 0.6


def test_when_everything_was_tried_it_says_so() -> None:
    with pytest.raises(ConfigurationError, match="were tried"):
        choose(PointPolicy.BALANCED, 0.3, 0.6, 0.8, 0.9, 1.0)


# By distribution

BY_DISTRIBUTION = SelectionConfig(criterion=Criterion.DISTRIBUTION)


def with_auc(auc: Callable[[float], float], retain: Callable[[float], float] = lambda _: 1.0) -> Curve:
    """Return a pathway whose accuracies are best at the end, whatever its scores say."""

    class Scored(Curve):
        def __call__(self, positions: Sequence[float]) -> tuple[PathPoint, ...]:
            return tuple(
                point.model_copy(update={"auc": auc(point.t), "distance": abs(auc(point.t) - 0.5)})
                for point in super().__call__(positions)
            )

    return Scored(lambda t: 1.0 - 0.2 * t, retain)


@given(st.floats(0.77, 0.99))
def test_scores_decide_where_they_are_the_criterion(best: float) -> None:
    curve = with_auc(lambda t: 0.5 + 0.3 * (best - t) + 2.0 * (best - t) ** 3)
    assert choose_point(curve, REFERENCES, BY_DISTRIBUTION).t == pytest.approx(best, abs=0.25 / 25 / 2 + 1e-6)
    assert choose_point(curve, REFERENCES, SelectionConfig()).t == pytest.approx(1.0)


def test_a_point_out_of_bounds_is_not_chosen_however_unseen_its_scores_look() -> None:
    curve = with_auc(lambda t: 0.5 + 0.3 * (1.0 - t), lambda t: 1.0 if t < 0.95 else 0.9)
    choice = choose_point(curve, REFERENCES, BY_DISTRIBUTION)
    assert choice.t < 0.95
    assert choice.t == max(point.t for point in choice.evaluated if point.retain_accuracy == 1.0)


def test_where_no_point_is_in_bounds_the_gap_decides() -> None:
    curve = with_auc(lambda t: t - 0.3, lambda t: 0.5 + 0.2 * t)
    choice = choose_point(curve, REFERENCES, BY_DISTRIBUTION)
    assert choice.t == min(choice.evaluated, key=lambda point: point.gap).t


# By utility too

BY_UTILITY = SelectionConfig(criterion=Criterion.ACCURACY_AND_UTILITY)


@given(st.floats(0.77, 0.99))
def test_the_accuracy_on_unseen_samples_decides_where_the_gap_does_not(best: float) -> None:
    curve = Curve(lambda _: 0.8, validation=lambda t: 0.79 - (t - best) ** 2)
    assert choose_point(curve, REFERENCES, BY_UTILITY).t == pytest.approx(best, abs=0.25 / 25 / 2 + 1e-6)


def test_what_unseen_samples_lose_weighs_as_much_as_what_the_others_are_off() -> None:
    curve = Curve(lambda t: t, validation=lambda t: 0.8 - 2.0 * (0.9 - t))
    assert choose_point(curve, REFERENCES, SelectionConfig()).t == pytest.approx(0.8)
    assert choose_point(curve, REFERENCES, BY_UTILITY).t == pytest.approx(0.9, abs=0.01)


def test_more_accuracy_on_unseen_samples_than_the_original_s_is_not_a_distance() -> None:
    curve = Curve(lambda t: t, validation=lambda t: t + 0.05)
    assert choose_point(curve, REFERENCES, BY_UTILITY).t == pytest.approx(0.8)


def test_where_a_class_goes_entirely_what_unseen_samples_lose_does_not_count() -> None:
    gone = References(train_accuracy=1.0, validation_accuracy=0.0)

    def measure(positions: Sequence[float]) -> tuple[PathPoint, ...]:
        return tuple(
            path_point(t, forget=1.0 - t, retain=1.0, validation=0.8 - 0.1 * t, references=gone) for t in positions
        )

    assert choose_point(measure, gone, BY_UTILITY).t == pytest.approx(1.0)
