"""Choosing a point of the pathway from measured accuracies. Pure: no tensors, no data."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np
from scipy.interpolate import CubicSpline

from mcu_core.config import Criterion, PointPolicy, SelectionConfig
from mcu_core.errors import ConfigurationError
from mcu_core.report import Interval, PathPoint, References

Measure = Callable[[Sequence[float]], tuple[PathPoint, ...]]
"""Measures the pathway at some t."""

_SAME_T = 1e-9
"""Two t nearer than this are one point."""
_SAME_GAP = 1e-9
"""Gaps nearer than this are equal: a spline through equal values oscillates by rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The chosen point and everything measured for it."""

    t: float
    sweep: tuple[PathPoint, ...]
    evaluated: tuple[PathPoint, ...]
    """In the order of evaluation."""
    region: tuple[Interval, ...]


def choose_point(measure: Measure, references: References, config: SelectionConfig) -> Choice:
    """Measure the pathway and choose a point by the policy.

    The window and the optimum interpolated from it are `points` + 1 evaluations, of which t = 1 is the pre-unlearned
    model itself; each window further to the left adds as many less one. The sweep is extra and optional.

    BALANCED looks in the window, as the paper does, and to the left of it as `align_in_window` does; the other policies
    look at every measured point.

    Args:
        measure: of the pathway.
        references: A_v and A_train.
        config: window, grid, sweep, policy.

    Returns:
        The choice with its trace.

    Source: arXiv 2505.10859, section 2.5, and `align_in_window` for the deviation.
    """
    whole = sweep_positions(config) if config.sweep else []
    window_positions = np.linspace(config.window_start, 1.0, config.points).tolist()
    measured = measure([*whole, *window_positions])  # at once: every image is read once
    sweep, window = measured[: len(whole)], measured[len(whole) :]
    evaluated = align_in_window(measure, window, references, config)
    region = effective_region(sweep) if sweep else ()
    if config.policy is PointPolicy.BALANCED:
        chosen = min(evaluated, key=_misfit(references, config))
    else:
        chosen = choose_untried((*evaluated, *sweep), region, references, config, tried=())
    return Choice(t=chosen.t, sweep=sweep, evaluated=evaluated, region=region)


def sweep_positions(config: SelectionConfig) -> list[float]:
    """Return the t at which a sweep measures the pathway: equally spaced, both ends among them."""
    positions: list[float] = np.linspace(0.0, 1.0, config.sweep_points).tolist()
    return positions


def align_in_window(
    measure: Measure, window: Sequence[PathPoint], references: References, config: SelectionConfig
) -> tuple[PathPoint, ...]:
    """Search the point of smallest gap in [window_start, 1], further left when it sits on the left edge.

    1. Interpolate accuracies, or the AUC (not the gap, whose absolute values have kinks), by a cubic through equally
    spaced points. 2. Evaluate the arg-min of what the criterion makes of them over a grid. 3. If the best evaluated
    point is the left edge, repeat in the window of the same width to the left of it, down to the first point of the
    sweep after the original.

    Args:
        measure: of the pathway.
        window: measured at `points` equally spaced t in [window_start, 1].
        references: A_v and A_train.
        config: grid and criterion.

    Returns:
        All points that were evaluated, in that order; by `Criterion.ACCURACY` the best is the paper's optimum.

    Source: arXiv 2505.10859, section 2.5, which evaluates t = .75 and t = 1 only: two points do not fix a cubic.
    """
    evaluated = list(window)
    misfit = _misfit(references, config)
    width = window[-1].t - window[0].t
    lowest = 1.0 / (config.sweep_points - 1)
    while True:
        # 1., 2.
        t = _interpolated_optimum(window, references, config)
        if t > 0.0 and not _is_near(t, (point.t for point in evaluated), _SAME_T):
            evaluated.extend(measure([t]))
        # 3.
        start = min(evaluated, key=misfit).t
        if start > window[0].t + _SAME_T or start <= lowest + _SAME_T:
            return tuple(evaluated)
        left = max(start - width, lowest)
        more = measure(np.linspace(left, start, config.points)[:-1].tolist())
        evaluated.extend(more)
        window = (*more, window[0])


def effective_region(sweep: Sequence[PathPoint]) -> tuple[Interval, ...]:
    """Return where the interpolated gap is below the gap at t = 1, the pre-unlearned model's.

    {t : g(t) < gap(1)} with g the cubic spline through the measured gaps

    Args:
        sweep: points at ascending t, the last at t = 1; at least four.

    Returns:
        Disjoint intervals, ascending; none where no point beats the end.

    Source: arXiv 2505.10859, section 2.5.
    """
    positions = np.array([point.t for point in sweep])
    excess = CubicSpline(positions, np.array([point.gap for point in sweep]) - sweep[-1].gap)
    roots = excess.roots(extrapolate=False)
    edges = np.unique(np.concatenate([positions[[0, -1]], roots[np.isfinite(roots)]]))
    intervals: list[Interval] = []
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if end - start <= _SAME_T or excess((start + end) / 2.0) >= -_SAME_GAP:
            continue
        if intervals and start - intervals[-1].end <= _SAME_T:
            intervals[-1] = Interval(start=intervals[-1].start, end=end)
        else:
            intervals.append(Interval(start=start, end=end))
    return tuple(intervals)


def choose_untried(
    points: Sequence[PathPoint],
    region: Sequence[Interval],
    references: References,
    config: SelectionConfig,
    *,
    tried: Sequence[float],
) -> PathPoint:
    """Choose among measured points one that was not a candidate before.

    BALANCED: best by the criterion. PRIVACY_FIRST: of the points with RA ≥ A_train - slack, the one whose accuracy on
    D_f is nearest to A_v: the lowest that is not yet over-forgotten, since below A_v a deletion stands out again.
    UTILITY_FIRST: highest RA in the effective region. Where no point meets the bounds, the smallest gap decides.

    A point counts as tried when it is less than one step of the sweep away from a tried one: a nearer model would
    get the same verdict. t = 0 is the original and never a candidate.

    Args:
        points: measured on the pathway.
        region: the effective region.
        references: A_v and A_train.
        config: policy, slack, spacing of the sweep.
        tried: every t that was a candidate.

    Returns:
        The chosen point.

    Raises:
        ConfigurationError: every point was tried.
    """
    apart = 1.0 / (config.sweep_points - 1) - _SAME_T
    open_points = [point for point in points if point.t > _SAME_T and not _is_near(point.t, tried, apart)]
    if not open_points:
        raise ConfigurationError(f"all {len(points)} measured points of the pathway were tried: raise sweep_points")
    match config.policy:
        case PointPolicy.BALANCED:
            return min(open_points, key=_misfit(references, config))
        case PointPolicy.PRIVACY_FIRST:
            least = references.train_accuracy - config.retain_accuracy_slack
            useful = [point for point in open_points if point.retain_accuracy >= least]
            return min(
                useful or open_points,
                key=lambda point: (
                    abs(point.forget_accuracy - references.validation_accuracy) if useful else point.gap,
                    point.gap,
                ),
            )
        case PointPolicy.UTILITY_FIRST:
            inside = [point for point in open_points if any(part.start <= point.t <= part.end for part in region)]
            return min(inside or open_points, key=lambda point: (-point.retain_accuracy if inside else 0.0, point.gap))
        case _:
            assert_never(config.policy)


def _misfit(references: References, config: SelectionConfig) -> Callable[[PathPoint], tuple[bool, float]]:
    """Return the order in which points are preferred, best first."""
    # Where a class goes entirely A_v is 0, and what D_v loses by it does not count.
    counts = config.criterion is Criterion.ACCURACY_AND_UTILITY

    def shortfall(point: PathPoint) -> float:
        return max(0.0, references.validation_accuracy - point.validation_accuracy) if counts else 0.0

    def misfit(point: PathPoint) -> tuple[bool, float]:
        if config.criterion is not Criterion.DISTRIBUTION or point.distance is None:
            return False, point.gap + shortfall(point) / 2.0
        in_bounds = point.retain_accuracy >= references.train_accuracy - config.retain_accuracy_slack
        return not in_bounds, point.distance if in_bounds else point.gap

    return misfit


def _interpolated_optimum(window: Sequence[PathPoint], references: References, config: SelectionConfig) -> float:
    positions = np.array([point.t for point in window])
    # Through four points the not-a-knot spline is the one cubic.
    candidates = np.linspace(positions[0], positions[-1], config.grid)
    if config.criterion is Criterion.DISTRIBUTION and all(point.auc is not None for point in window):
        off = np.abs(CubicSpline(positions, [point.auc for point in window])(candidates) - 0.5)
    else:
        accuracies = [[point.retain_accuracy, point.forget_accuracy, point.validation_accuracy] for point in window]
        retain, forget, validation = CubicSpline(positions, accuracies)(candidates).T
        off = np.abs(retain - references.train_accuracy) + np.abs(forget - references.validation_accuracy)
        if config.criterion is Criterion.ACCURACY_AND_UTILITY:
            off += np.maximum(0.0, references.validation_accuracy - validation)
    return float(candidates[int(off.argmin())])


def _is_near(t: float, others: Iterable[float], distance: float) -> bool:
    return any(abs(t - other) <= distance for other in others)
