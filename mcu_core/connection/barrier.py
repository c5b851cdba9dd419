"""What a quantity does along a path, compared with the straight line between its values at the ends."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """How far a quantity leaves the straight line of its ends, in its own unit."""

    rise: float
    """Highest above the line, not negative. Of a loss it is the barrier."""
    rise_at: float
    """t of it; the first where there are several."""
    dip: float
    """Deepest below the line, not negative. Of an accuracy it is the barrier."""
    dip_at: float
    """t of it."""
    fluctuation: float
    """Root mean square of the distance from the line, between the ends."""


def deviation(positions: Sequence[float], values: Sequence[float]) -> Deviation:
    """Compare values along a path with the straight line of the ends.

    d_i = m(t_i) - ((1 - t_i) m(0) + t_i m(1));  rise = max_i d_i;  dip = max_i -d_i;  fluctuation = √(mean_i d_i²)

    The mean is over the points between the ends: these lie on the line by definition, and would make it depend on how
    many points there are.

    Args:
        positions: t, ascending, the first 0 and the last 1.
        values: m(t), as many, finite.

    Returns:
        The deviation; nothing where the values lie on the line.

    Raises:
        ValueError: the positions do not go from 0 to 1, or the numbers differ.

    Source: the barrier of Frankle et al. (arXiv 1912.05671) against the line of Entezari et al. (arXiv 2110.06296),
        since two unlearned models rarely have the same loss. The fluctuation is ours: arXiv 2504.06407 describes it in
        words.
    """
    if len(positions) != len(values) or len(positions) < 2 or (positions[0], positions[-1]) != (0.0, 1.0):
        raise ValueError(f"{len(values)} values need as many positions from 0 to 1, got {len(positions)}")
    # As m(0) + t (m(1) - m(0)): exact where both ends are equal.
    first, span = values[0], values[-1] - values[0]
    # Clear of rounding at the ends, where the distance is 0 by definition.
    inner = [value - (first + t * span) for t, value in zip(positions[1:-1], values[1:-1], strict=True)]
    distances = [0.0, *inner, 0.0]
    highest, lowest = max(distances), min(distances)
    return Deviation(
        rise=highest,
        rise_at=positions[distances.index(highest)],
        dip=0.0 - lowest,  # -0.0 would be shown with its sign
        dip_at=positions[distances.index(lowest)],
        fluctuation=math.sqrt(sum(distance**2 for distance in inner) / len(inner)) if inner else 0.0,
    )
