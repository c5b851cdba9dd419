"""The connectivity study on files: manifests and weights in, JSON, Markdown and figure out."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from mcu_core import checkpoint, models
from mcu_core.config import (
    ArchitectureConfig,
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
    Samples,
    Split,
    World,
    draw_split,
    draw_train,
    draw_validation,
)
from mcu_core.inference import reestimate_batchnorm
from mcu_core.methods import unlearn
from mcu_core.methods.retrain import train_from_scratch
from mcu_core.runtime import Runtime, resolve_precision, stream
from mcu_core.types import Params, Problem, Progress, State
from service.domain.manifest import Split as ManifestSplit
from service.errors import FieldViolation, InvalidRequestError
from service.worker.device import compute_device
from service.worker.manifest_file import require_manifest
from service.worker.model_store import ModelStore
from service.worker.research import ResearchData, load_research_data
from service.worker.results import write_result
from service.worker.samples import decode
from service.worker.threads import use_threads

Told = Callable[[str, int, int], None]
"""Is told what is done, for people, and how many steps of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyData:
    """Where the samples are, which of them are forgotten, and what the models are."""

    manifest: Path
    network: ArchitectureConfig | str
    """Whole, or its name: then classes, channels, size, mean and deviation are the manifest's."""
    forget: tuple[str, ...]
    """Sample ids."""


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


def connect_files(
    first: Path,
    second: Path,
    data: StudyData,
    config: ConnectionConfig,
    *,
    seed: int,
    told: Told,
    threads: int | None = None,
) -> Connection:
    """Connect two models that lie in safetensors files; `threads` as in `use_threads`.

    Raises:
        CoreError: weights, architecture and data do not fit together, or a training diverged.
        InvalidRequestError: nothing is to be forgotten or kept, or an id is not in the training split.
        ManifestError: the data are no manifest.
    """
    require_manifest(data.manifest)
    forget = _rows_of(data.manifest, data.forget)
    loaded = _loaded(data, use_threads(threads), told)
    model = models.build(loaded.architecture)
    last_linear(model)  # refuses before the curve is trained what the comparison would refuse after it
    a, b = (_end(path, model) for path in (first, second))
    # The study reads no original; the first end stands in for it.
    problem = _pose(loaded, _split(loaded.samples, forget, seed), a.state)
    return study_connection(problem, a, b, config, seed, progress=_telling(told, "connecting"))


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
    problem = _pose(data, split, original)
    common["deletion"] = plan.deletion.model_dump(mode="json")

    def finished(end: EndPlan) -> NamedModel:
        key = {**common, "method": end.method.model_dump(mode="json"), "method_seed": end.seed}
        state = store.get(key, model, lambda: _unlearn(problem, end, plan.seed, runtime, told))
        return NamedModel(name=end.name, state=state)

    plans = plan_ends(condition, plan.method, plan.other, plan.seed, first_order=plan.first_order)
    first, second = (finished(end) for end in plans)
    key = {
        **common,
        "ends": [checkpoint.digest(end.state) for end in (first, second)],
        "curve": plan.config.train.model_dump(mode="json"),
        "beta": plan.config.beta,
    }
    return study_connection(
        problem,
        first,
        second,
        plan.config,
        plan.seed,
        keep_control=_keeping(store, key, first.state, model),
        progress=_telling(told, "connecting"),
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


def _rows_of(manifest: Path, ids: Sequence[str]) -> Tensor:
    """Return the manifest rows of training samples, int64, ascending."""
    table = pq.read_table(manifest, columns=["sample_id", "split"])
    asked = np.isin(np.asarray(table["sample_id"].to_pylist()), np.asarray(ids, dtype=np.str_))
    is_train = np.asarray(table["split"].to_pylist()) == ManifestSplit.TRAIN
    count = len(set(ids))
    missing, heldout = count - int(asked.sum()), int((asked & ~is_train).sum())
    if not count:
        raise _unusable("names no sample")
    if missing:
        raise _unusable(f"{missing} of {count} ids are not in the manifest")
    if heldout:
        raise _unusable(f"{heldout} of {count} samples are not in the training split")
    if int(is_train.sum()) - count < 2:
        raise _unusable(f"names {count} of {int(is_train.sum())} training samples: there is nothing to keep")
    return torch.from_numpy(np.flatnonzero(asked))


def _unusable(description: str) -> InvalidRequestError:
    return InvalidRequestError(FieldViolation(field="--forget", description=description))


def _loaded(data: StudyData, threads: int, told: Told) -> ResearchData:
    progress = partial(told, "decoding samples")
    with TemporaryDirectory() as folder:  # what is mapped stays readable
        if isinstance(data.network, str):
            return load_research_data(data.manifest, data.network, Path(folder), progress=progress)
        decoded = decode(data.manifest, data.network, folder=Path(folder), threads=threads, progress=progress)
    train, heldout = torch.from_numpy(decoded.train), torch.from_numpy(decoded.heldout)
    samples = Samples(data=decoded.data, train=train, heldout=heldout)
    return ResearchData(samples=samples, architecture=data.network)


def _split(samples: Samples, forget: Tensor, seed: int) -> Split:
    """Return who is who where all of the training split was trained on."""
    validation, test = draw_validation(samples.heldout, seed)
    nobody = torch.empty(0, dtype=torch.int64)
    return Split(
        forget=forget,
        retain=samples.train[~torch.isin(samples.train, forget)],
        validation=validation,
        test=test,
        class_test=nobody,
        sealed=nobody,
    )


def _pose(data: ResearchData, split: Split, original: State) -> Problem:
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
    rng, progress = stream(world.seed, "original"), _telling(told, "training the original")
    return train_from_scratch(runtime, rows, world.recipe, rng, progress=progress)


def _unlearn(problem: Problem, end: EndPlan, seed: int, runtime: Runtime, told: Told) -> State:
    state = unlearn(
        problem,
        end.method,
        stream(end.seed, "pre_unlearn"),
        runtime=runtime,
        progress=_telling(told, f"unlearning: {end.name}"),
    )
    rows = subsample(problem.retain, SelectionConfig().batchnorm_images, stream(seed, "batchnorm"))
    return reestimate_batchnorm(runtime, state, rows)


def _keeping(store: ModelStore, key: dict[str, object], end: State, model: nn.Module) -> Keep:
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


def _telling(told: Told, what: str) -> Progress:
    return lambda update: told(what, update.epoch * update.steps + update.step, update.epochs * update.steps)


def _end(path: Path, model: nn.Module) -> NamedModel:
    content = _content(path)
    digest = hashlib.sha256(content).hexdigest()
    return NamedModel(name=path.stem, state=checkpoint.load(content, model, expected_digest=digest))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        description = f"{path} cannot be read ({error.strerror})"
        raise InvalidRequestError(FieldViolation(field="weights", description=description)) from error
