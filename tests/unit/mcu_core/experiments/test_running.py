"""What the cells' computations may not read."""

from dataclasses import replace

import pytest
import torch

from mcu_core import models
from mcu_core.config import FinetuneConfig, TrainConfig
from mcu_core.experiments.cells import UnlearnedCell
from mcu_core.experiments.running import Work, make_sweep, make_unlearned, prepare
from mcu_core.experiments.setup import Samples, Split, draw_split
from mcu_core.images import ImageData
from mcu_core.params import midpoint
from mcu_core.types import Pathway, State, ignore_progress
from tests.studies import tiny_pathway, tiny_samples, tiny_sweep

PATHWAY = tiny_pathway()


@pytest.fixture
def split() -> Split:
    return draw_split(tiny_samples(), PATHWAY.world, PATHWAY.deletion)


def state(seed: int) -> State:
    return models.initialise(PATHWAY.world.architecture, seed)


def work_on(samples: Samples) -> Work:
    return prepare(samples, PATHWAY.world, torch.device("cpu"), ignore_progress)


def other_where_forgotten(split: Split) -> Samples:
    """Return the samples with other pixels in D_f."""
    samples = tiny_samples()
    images = samples.data.images.clone()
    images[split.forget] = 255 - images[split.forget]
    return replace(samples, data=ImageData(images=images, labels=samples.data.labels))


def test_batchnorm_statistics_of_an_end_do_not_depend_on_d_f(split: Split) -> None:
    """Finetune reads nothing of D_f, so that nothing of the model may."""
    method = FinetuneConfig(train=TrainConfig(epochs=1, learning_rate=0.01, batch_size=20))
    cell = UnlearnedCell(world=PATHWAY.world, deletion=PATHWAY.deletion, method=method)
    first, second = (
        make_unlearned(cell, work_on(samples), split, state(0), teacher=None).weights
        for samples in (tiny_samples(), other_where_forgotten(split))
    )
    assert first is not None
    assert first == second


def test_batchnorm_statistics_along_a_pathway_do_not_depend_on_d_f(split: Split) -> None:
    original, end = state(0), state(1)
    pathway = Pathway(
        original=original.params,
        control=midpoint(original.params, end.params),
        end=end.params,
        mask=frozenset(end.params),
    )
    first, second = (
        make_sweep(tiny_sweep(), work_on(samples), split, original, pathway=pathway, retrained=state(2)).record.sweep
        for samples in (tiny_samples(), other_where_forgotten(split))
    )
    assert first is not None
    assert second is not None
    assert [(point.retain, point.test) for point in first.points] == [
        (point.retain, point.test) for point in second.points
    ]
