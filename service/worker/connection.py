"""The connectivity study's conditions on data: what is made is kept; JSON, Markdown and figure out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from mcu_core import checkpoint, models
from mcu_core.config import (
    ConnectionConfig,
    NegGradPlusConfig,
    Optimiser,
    RandomLabelConfig,
    RetrainConfig,
    SelectionConfig,
)
from mcu_core.connection.conditions import Condition, EndPlan, plan_ends
from mcu_core.connection.outputs import last_linear
from mcu_core.connection.page import connection_page
from mcu_core.connection.report import Connection
from mcu_core.connection.study import Keep, NamedModel, study_connection
from mcu_core.data import BatchReader, match_classes, subsample
from mcu_core.experiments.setup import (
    RandomShare,
    Split,
    World,
    draw_split,
    draw_train,
)
from mcu_core.inference import reestimate_batchnorm
from mcu_core.methods import unlearn
from mcu_core.methods.retrain import train_from_scratch
from mcu_core.runtime import Runtime, resolve_precision, stream
from mcu_core.types import Params, Problem, Progress, State
from service.worker.device import compute_device
from service.worker.model_store import ModelStore
from service.worker.research import ResearchData
from service.worker.results import write_result
from service.worker.threads import use_threads

Told = Callable[[str, int, int], None]
"""Is told what is done, for people, and how many steps of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionPlan:
    """All that a condition is computed from, besides the data."""

    data: str
    """Name of the data, for people."""
    train_images: int
    deletion: RandomShare
    recipe: RetrainConfig
    """Of the original."""
    method: NegGradPlusConfig
    other: RandomLabelConfig
    config: ConnectionConfig
    seed: int
    first_order: Optimiser

    def world(self, data: ResearchData) -> World:
        """Return what the original depends on: of equal settings, that of `unlearn bench`."""
        return World(
            data=self.data,
            data_digest=data.samples.digest,
            architecture=data.architecture,
            train_images=self.train_images,
            seed=self.seed,
            recipe=self.recipe,
            precision=self.config.precision,
            evaluation_batch=self.config.evaluation_batch,
        )


def run_condition(
    condition: Condition,
    data: ResearchData,
    plan: ConditionPlan,
    store: ModelStore,
    *,
    told: Told,
    threads: int | None = None,
) -> Connection:
    """Make the original, the two ends and the curve of a condition, where they are not in the store, and measure.

    Who is who, the original, and an end whose method and seed are those of a cell of `unlearn bench` are the same as
    there, bit for bit.

    Raises:
        CoreError: a training diverged, or the settings do not fit the data.
    """
    use_threads(threads)
    world = plan.world(data)
    split = draw_split(data.samples, world, plan.deletion)
    labels = data.samples.data.labels
    # Refuses before anything is trained what the attack and the comparison would refuse after all of it.
    match_classes(labels, split.validation, labels[split.forget], stream(0, "probe"))
    last_linear(models.build(data.architecture))
    precision = str(resolve_precision(world.precision, compute_device()))
    common = {**world.model_dump(mode="json", exclude={"data"}), "precision": precision}
    runtime, model = _runtime(data, plan.config), models.build(data.architecture)
    rows, _ = draw_train(data.samples, world)
    original = store.get(common, model, lambda: _train_original(runtime, world, rows, told))
    problem = pose(data, split, original)
    common["deletion"] = plan.deletion.model_dump(mode="json")

    def finished(end: EndPlan) -> NamedModel:
        key = {**common, "method": end.method.model_dump(mode="json"), "method_seed": end.seed}
        state = store.get(key, model, lambda: _unlearn(problem, end, plan.seed, runtime, told))
        return NamedModel(name=end.name, state=state)

    plans = plan_ends(condition, plan.method, plan.other, plan.seed, first_order=plan.first_order)
    first, second = (finished(end) for end in plans)
    return study_connection(
        problem,
        first,
        second,
        plan.config,
        plan.seed,
        keep_control=keeping(store, {**common, **curve_key((first, second), plan.config)}, first.state, model),
        progress=telling(told, "connecting"),
    )


def write_connection(connection: Connection, folder: Path, name: str) -> list[Path]:
    """Write a study as `NAME.json`, `NAME.md` and, where matplotlib is installed, `NAME.svg`; return the files."""
    content = {
        "json": (connection.model_dump_json(indent=1) + "\n").encode(),
        "md": connection_page(connection).encode(),
        **_drawn(connection),
    }
    return write_result(folder, name, content)


def _drawn(connection: Connection) -> dict[str, bytes]:
    try:
        from mcu_core.connection.figure import draw_connection  # noqa: PLC0415 - an extra of its own
    except ModuleNotFoundError:
        return {}
    return {"svg": draw_connection(connection)}


def pose(data: ResearchData, split: Split, original: State) -> Problem:
    """Return what the study reads, on the device that computes."""
    return Problem(
        model=models.build(data.architecture),
        architecture=data.architecture,
        original=original.to(compute_device()),
        data=data.samples.data,
        forget=split.forget,
        retain=split.retain,
        validation=split.validation,
        test=split.test,
    )


def _train_original(runtime: Runtime, world: World, rows: Tensor, told: Told) -> State:
    rng, progress = stream(world.seed, "original"), telling(told, "training the original")
    return train_from_scratch(runtime, rows, world.recipe, rng, progress=progress)


def _unlearn(problem: Problem, end: EndPlan, seed: int, runtime: Runtime, told: Told) -> State:
    state = unlearn(
        problem,
        end.method,
        stream(end.seed, "pre_unlearn"),
        runtime=runtime,
        progress=telling(told, f"unlearning: {end.name}"),
    )
    rows = subsample(problem.retain, SelectionConfig().batchnorm_images, stream(seed, "batchnorm"))
    return reestimate_batchnorm(runtime, state, rows)


def curve_key(ends: Sequence[NamedModel], config: ConnectionConfig) -> dict[str, object]:
    """Return what a trained curve depends on besides the data."""
    return {
        "ends": [checkpoint.digest(end.state) for end in ends],
        "curve": config.train.model_dump(mode="json"),
        "beta": config.beta,
    }


def keeping(store: ModelStore, key: dict[str, object], end: State, model: nn.Module) -> Keep:
    """Return how a curve's control point is kept in a store.

    Args:
        store: where.
        key: of everything that the curve depends on, see `curve_key`.
        end: one of its ends.
        model: the architecture.
    """

    def keep(make: Callable[[], Params]) -> Params:
        # As a model of the ends' architecture, so that it is checked like one; nobody reads its buffers.
        return store.get(key, model, lambda: State(params=make(), buffers=end.buffers)).params

    return keep


def _runtime(data: ResearchData, config: ConnectionConfig) -> Runtime:
    device = compute_device()
    return Runtime(
        model=models.build(data.architecture),
        reader=BatchReader(data=data.samples.data, architecture=data.architecture, device=device),
        dtype=resolve_precision(config.precision, device),
        evaluation_batch=config.evaluation_batch,
    )


def telling(told: Told, what: str) -> Progress:
    """Return a progress of the core that tells what is done, by the steps of all its epochs."""
    return lambda update: told(what, update.epoch * update.steps + update.step, update.epochs * update.steps)
