"""The part of a ladder that a run may use."""

from mcu_core.config import AnotherPointRung, Rung


def last_rungs(ladder: tuple[Rung, ...], count: int | None) -> tuple[Rung, ...]:
    """Return the last rungs of a ladder, from one on that needs nothing of the rungs below it.

    Args:
        ladder: of a run that may use all of it.
        count: how many rungs are asked for; more are returned where the first of those needs a pathway that a rung
            below it leaves behind. `None` and more than there are: all; less than one: the last one.
    """
    if count is None:
        return ladder
    first = len(ladder) - min(max(count, 1), len(ladder))
    while first > 0 and isinstance(ladder[first], AnotherPointRung):
        first -= 1
    return ladder[first:]
