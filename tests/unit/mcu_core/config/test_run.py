from collections.abc import Sequence

import torch

from mcu_core.config import (
    AnotherPointRung,
    McuRung,
    RetrainConfig,
    TrainConfig,
    default_ladder,
    needs_teacher,
    recommended_rung,
    taught_rung,
)
from mcu_core.connectivity.selection import choose_point
from mcu_core.connectivity.sweep import path_point
from mcu_core.masks import select_tensors
from mcu_core.report import PathPoint, References


def test_the_recommended_pathway_bends_every_tensor_of_a_large_network() -> None:
    """Forty tensors are enough for the paper's mask to be taken as it is."""
    sizes = {f"tensor{index}": 100 for index in range(40)}
    scores = {name: float(index) for index, name in enumerate(sizes)}
    mask = select_tensors(sizes, scores, scores, recommended_rung().curve.mask, torch.Generator())
    assert select_tensors(sizes, scores, scores, McuRung().curve.mask, torch.Generator()).share < 1.0
    assert (mask.names, mask.note) == (frozenset(sizes), None)


def test_the_first_ladder_begins_with_the_recommended_rung() -> None:
    assert default_ladder(None)[0] == recommended_rung()


def test_where_references_may_teach_the_ladder_begins_with_what_they_teach() -> None:
    recipe = RetrainConfig(train=TrainConfig(epochs=1, learning_rate=0.1))
    plain, taught = default_ladder(recipe), default_ladder(recipe, taught=True)
    assert taught == (taught_rung(), *plain)
    assert needs_teacher(taught[0])
    assert not any(needs_teacher(rung) for rung in plain)


def test_the_recommended_choice_evaluates_four_points_besides_the_end() -> None:
    references, seen = References(train_accuracy=1.0, validation_accuracy=0.8), list[float]()

    def measure(positions: Sequence[float]) -> tuple[PathPoint, ...]:
        seen.extend(positions)
        return tuple(
            path_point(t, forget=0.8 + 0.2 * (0.6 - t), retain=1.0, validation=0.8, references=references)
            for t in positions
        )

    choose_point(measure, references, recommended_rung().selection)
    assert len([t for t in seen if t < 1.0]) == 4
    assert AnotherPointRung().selection.sweep
