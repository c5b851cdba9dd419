import pytest
from pydantic import TypeAdapter

from mcu_core.config import CurveConfig, FinetuneConfig, MethodConfig, NegGradPlusConfig, RandomLabelConfig, TrainConfig
from mcu_core.experiments.cells import (
    Cell,
    Cost,
    OriginalCell,
    PathwayCell,
    RetrainedCell,
    SweepCell,
    UnlearnedCell,
    UntouchedCell,
    add_costs,
    cell_digest,
    dependencies,
    essence,
)
from mcu_core.experiments.setup import RandomShare, WholeClass, World
from tests.cases import TINY
from tests.studies import record_of, tiny_pathway, tiny_sweep, tiny_world

WORLD = World(data="pinned", data_digest="0" * 64, architecture=TINY, train_images=100, seed=0)


def every_kind() -> tuple[Cell, ...]:
    pathway = tiny_pathway()
    parts = {"world": pathway.world, "deletion": pathway.deletion}
    return (
        OriginalCell(world=pathway.world),
        UntouchedCell.model_validate(parts),
        RetrainedCell.model_validate(parts),
        UnlearnedCell.model_validate({**parts, "method": pathway.method}),
        pathway,
        tiny_sweep(),
    )


def test_a_published_digest_stays_as_it_is() -> None:
    """A change of it throws every checked-in result away: raise FORMAT then, and say why."""
    cell = PathwayCell(world=WORLD, deletion=RandomShare(), method=NegGradPlusConfig())
    assert cell_digest(cell) == "a2dccdd621eed973b26ed1376f53e8d6b4c4a79bbf61280f3e2e16fdefadfc02"


def test_a_digest_survives_json() -> None:
    cell: TypeAdapter[Cell] = TypeAdapter(Cell)
    for one in every_kind():
        assert cell_digest(cell.validate_json(cell.dump_json(one))) == cell_digest(one)


def test_every_kind_of_one_experiment_has_its_own_digest() -> None:
    assert len({cell_digest(cell) for cell in every_kind()}) == 6


@pytest.mark.parametrize(
    "changed",
    [
        tiny_pathway(seed=1),
        tiny_pathway().model_copy(update={"deletion": WholeClass()}),
        tiny_pathway().model_copy(update={"method": FinetuneConfig()}),
        tiny_pathway().model_copy(update={"curve": CurveConfig(retain_share=0.4)}),
        tiny_pathway().model_copy(update={"world": tiny_world().model_copy(update={"data_digest": "1" * 64})}),
    ],
)
def test_whatever_a_cell_depends_on_is_in_its_digest(changed: PathwayCell) -> None:
    assert cell_digest(changed) != cell_digest(tiny_pathway())
    assert cell_digest(SweepCell(pathway=changed)) != cell_digest(SweepCell(pathway=tiny_pathway()))


def test_an_original_does_not_depend_on_what_is_forgotten() -> None:
    random = tiny_pathway()
    of_class = random.model_copy(update={"deletion": WholeClass()})
    assert dependencies(random)[0] == dependencies(of_class)[0]


@pytest.mark.parametrize("method", [NegGradPlusConfig(), FinetuneConfig(), RandomLabelConfig()])
def test_defaults_are_left_out_but_never_the_kind(method: MethodConfig) -> None:
    assert essence(method) == {"kind": method.kind}


def test_what_differs_from_its_default_is_kept_at_any_depth() -> None:
    method = NegGradPlusConfig(train=TrainConfig(epochs=5, learning_rate=0.01, batch_size=64))
    assert essence(method) == {
        "kind": "neggrad_plus",
        "train": {"epochs": 5, "learning_rate": 0.01, "batch_size": 64},
    }


def test_records_survive_json() -> None:
    for cell in every_kind():
        record = record_of(cell)
        assert type(record).model_validate_json(record.model_dump_json()) == record


def test_costs_add_up() -> None:
    first = Cost(seconds=1.0, cpu_seconds=2.0, trained=3, evaluated=4)
    second = Cost(seconds=10.0, cpu_seconds=20.0, trained=30, evaluated=40)
    assert add_costs((first, second)) == Cost(seconds=11.0, cpu_seconds=22.0, trained=33, evaluated=44)
