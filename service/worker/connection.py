"""The connectivity study on files: manifests and weights in, JSON, Markdown and figure out."""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import nn

from mcu_core import checkpoint, models
from mcu_core.config import (
    ArchitectureConfig,
    ConnectionConfig,
    HeldoutConfig,
    NegGradPlusConfig,
    Optimiser,
    RandomLabelConfig,
    RetrainConfig,
)
from mcu_core.connection.conditions import Condition, EndPlan, plan_ends
from mcu_core.connection.page import connection_page
from mcu_core.connection.report import Connection
from mcu_core.connection.study import NamedModel, study_connection
from mcu_core.data import BatchReader
from mcu_core.errors import DataError
from mcu_core.heldout import split_heldout
from mcu_core.methods import unlearn
from mcu_core.methods.retrain import train_from_scratch
from mcu_core.runtime import Runtime, resolve_precision, stream
from mcu_core.types import Problem, Progress, State
from service.domain.manifest import Split
from service.errors import FieldViolation, InvalidRequestError
from service.worker.job import compute_device
from service.worker.manifest_file import require_manifest
from service.worker.model_store import ModelStore
from service.worker.results import write_result
from service.worker.samples import DecodedSamples, decode
from service.worker.threads import use_threads

Told = Callable[[str, int, int], None]
"""Is told what is done, for people, and how many steps of how many."""

SPLIT_KEY = b"unlearn connect"
"""Of the split of held-out samples. Public, unlike a service's: nothing is published on the study's numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyData:
    """Where the samples are, and which of them are forgotten."""

    manifest: Path
    architecture: ArchitectureConfig
    forget: tuple[str, ...]
    """Sample ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionPlan:
    """All that a condition is computed from."""

    recipe: RetrainConfig
    """Of the original."""
    method: NegGradPlusConfig
    other: RandomLabelConfig
    config: ConnectionConfig
    seed: int
    first_order: Optimiser


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
        InvalidRequestError: an id to forget is not in the training split.
        ManifestError: the data are no manifest.
    """
    require_manifest(data.manifest)
    samples = _decoded(data, use_threads(threads))
    model = models.build(data.architecture)
    a, b = (_end(path, model) for path in (first, second))
    # The study reads no original; the first end stands in for it.
    problem = _pose(samples, data, a.state)
    return study_connection(problem, a, b, config, seed, progress=_telling(told, "connecting"))


def run_condition(
    condition: Condition,
    data: StudyData,
    plan: ConditionPlan,
    store: ModelStore,
    *,
    told: Told,
    threads: int | None = None,
) -> Connection:
    """Make the original and the two ends of a condition, where they are not in the store, and connect them.

    Raises:
        CoreError: a training diverged, or a stored model is damaged.
    """
    samples = _decoded(data, use_threads(threads))
    common = {
        "manifest": _digest(data.manifest.read_bytes()),
        "architecture": data.architecture.model_dump(mode="json"),
        "recipe": plan.recipe.model_dump(mode="json"),
        "precision": str(resolve_precision(plan.config.precision, compute_device())),
        "seed": plan.seed,
    }
    model = models.build(data.architecture)
    original = store.get(common, model, lambda: _train_original(samples, data, plan, told))
    problem = _pose(samples, data, original)
    forget = hashlib.sha256("\n".join(sorted(data.forget)).encode()).hexdigest()

    def finished(end: EndPlan) -> NamedModel:
        key = {**common, "forget": forget, "method": end.method.model_dump(mode="json"), "method_seed": end.seed}
        return NamedModel(name=end.name, state=store.get(key, model, lambda: _unlearn(problem, end, plan.config, told)))

    plans = plan_ends(condition, plan.method, plan.other, plan.seed, first_order=plan.first_order)
    first, second = (finished(end) for end in plans)
    return study_connection(problem, first, second, plan.config, plan.seed, progress=_telling(told, "connecting"))


def choose_forgotten(manifest: Path, share: float, seed: int) -> tuple[str, ...]:
    """Return the ids of a seeded share of the training split, at least one.

    Raises:
        InvalidRequestError: the share is not between 0 and 1, or nothing would be kept.
    """
    if not 0.0 < share < 1.0:
        raise InvalidRequestError(FieldViolation(field="--forget-share", description="must lie between 0 and 1"))
    table = pq.read_table(manifest, columns=["sample_id", "split"])
    ids = [
        name
        for name, split in zip(*(table[column].to_pylist() for column in table.column_names), strict=True)
        if split == Split.TRAIN
    ]
    count = max(1, round(share * len(ids)))
    if count >= len(ids):
        description = f"forgets {count} of {len(ids)} training samples: there is nothing to keep"
        raise InvalidRequestError(FieldViolation(field="--forget-share", description=description))
    return tuple(random.Random(seed).sample(ids, count))  # noqa: S311


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


def _decoded(data: StudyData, threads: int) -> DecodedSamples:
    with TemporaryDirectory() as folder:  # what is mapped stays readable
        return decode(data.manifest, data.architecture, folder=Path(folder), threads=threads)


def _pose(samples: DecodedSamples, data: StudyData, original: State) -> Problem:
    forget = samples.positions(_rows_of(data.manifest, data.forget))
    train = torch.from_numpy(samples.train)
    if not bool(torch.isin(forget, train).all()):
        raise DataError("samples to forget are not all of the training split")
    heldout = torch.from_numpy(samples.heldout)
    parts = split_heldout(samples.heldout_subjects, SPLIT_KEY, HeldoutConfig())
    return Problem(
        model=models.build(data.architecture),
        architecture=data.architecture,
        original=original.to(compute_device()),
        data=samples.data,
        forget=forget,
        retain=train[~torch.isin(train, forget)],
        validation=heldout[parts.validation],
        test=heldout[parts.test],
    )


def _rows_of(manifest: Path, ids: Sequence[str]) -> list[int]:
    names = np.asarray(pq.read_table(manifest, columns=["sample_id"])["sample_id"].to_pylist())
    rows = np.flatnonzero(np.isin(names, np.asarray(ids)))
    missing = len(set(ids)) - len(rows)
    if missing:
        description = f"{missing} of {len(set(ids))} ids are not in the manifest"
        raise InvalidRequestError(FieldViolation(field="--forget", description=description))
    return [int(row) for row in rows]


def _train_original(samples: DecodedSamples, data: StudyData, plan: ConditionPlan, told: Told) -> State:
    reader = BatchReader(data=samples.data, architecture=data.architecture, device=compute_device())
    runtime = _runtime(reader, plan.config)
    return train_from_scratch(
        runtime,
        torch.from_numpy(samples.train),
        plan.recipe,
        stream(plan.seed, "original"),
        progress=_telling(told, "training the original"),
    )


def _unlearn(problem: Problem, end: EndPlan, config: ConnectionConfig, told: Told) -> State:
    reader = BatchReader(data=problem.data, architecture=problem.architecture, device=problem.device)
    return unlearn(
        problem,
        end.method,
        stream(end.seed, "unlearn"),
        runtime=_runtime(reader, config),
        progress=_telling(told, f"unlearning: {end.name}"),
    )


def _runtime(reader: BatchReader, config: ConnectionConfig) -> Runtime:
    return Runtime(
        model=models.build(reader.architecture),
        reader=reader,
        dtype=resolve_precision(config.precision, reader.device),
        evaluation_batch=config.evaluation_batch,
    )


def _telling(told: Told, what: str) -> Progress:
    return lambda update: told(what, update.epoch * update.steps + update.step, update.epochs * update.steps)


def _end(path: Path, model: nn.Module) -> NamedModel:
    content = _content(path)
    return NamedModel(name=path.stem, state=checkpoint.load(content, model, expected_digest=_digest(content)))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        description = f"{path} cannot be read ({error.strerror})"
        raise InvalidRequestError(FieldViolation(field="weights", description=description)) from error


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
