"""Which part of a ladder a run may use."""

import pytest

from mcu_core.config import AnotherPointRung, McuRung, RetrainRung, UnlearningConfig, default_ladder
from service.domain.ladder import last_rungs
from tests.records import RECIPE

LADDER = default_ladder(RECIPE)


@pytest.mark.parametrize(
    ("count", "kinds"),
    [
        (None, [McuRung, AnotherPointRung, RetrainRung]),
        (9, [McuRung, AnotherPointRung, RetrainRung]),
        (3, [McuRung, AnotherPointRung, RetrainRung]),
        (2, [McuRung, AnotherPointRung, RetrainRung]),
        (1, [RetrainRung]),
        (0, [RetrainRung]),
    ],
)
def test_a_shorter_ladder_begins_where_nothing_below_is_needed(count: int | None, kinds: list[type]) -> None:
    ladder = last_rungs(LADDER, count)

    assert [type(rung) for rung in ladder] == kinds
    assert UnlearningConfig(ladder=ladder).ladder == ladder


def test_without_a_recipe_even_the_last_rung_needs_the_first() -> None:
    assert last_rungs(default_ladder(None), 1) == default_ladder(None)
