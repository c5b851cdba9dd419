"""Connecting two models that lie in files: manifest, ids and weights in."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from mcu_core import checkpoint, models
from mcu_core.config import ArchitectureConfig, ConnectionConfig
from mcu_core.connection.outputs import last_linear
from mcu_core.connection.report import Connection
from mcu_core.connection.study import NamedModel, study_connection
from mcu_core.experiments.setup import Samples, Split, draw_validation
from mcu_core.runtime import resolve_precision
from service.domain.canonical import canonical_digest
from service.domain.manifest import Split as ManifestSplit
from service.errors import FieldViolation, InvalidRequestError
from service.worker.connection import Told, curve_key, keeping, pose, telling
from service.worker.device import compute_device
from service.worker.manifest_file import require_manifest
from service.worker.model_store import ModelStore
from service.worker.research import ResearchData, load_research_data
from service.worker.samples import decode
from service.worker.threads import use_threads


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyData:
    """Where the samples are, which of them are forgotten, and what the models are."""

    manifest: Path
    network: ArchitectureConfig | str
    """Whole, or its name: then classes, channels, size, mean and deviation are the manifest's."""
    forget: tuple[str, ...]
    """Sample ids."""


def connect_files(
    first: Path,
    second: Path,
    data: StudyData,
    config: ConnectionConfig,
    store: ModelStore,
    *,
    seed: int,
    told: Told,
    threads: int | None = None,
) -> Connection:
    """Connect two models that lie in safetensors files, by the curve that the store keeps or by one that goes there.

    `threads` as in `use_threads`.

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
    problem = pose(loaded, _split(loaded.samples, forget, seed), a.state)
    key = {
        "data": loaded.samples.digest,
        "architecture": loaded.architecture.model_dump(mode="json"),
        "forget": canonical_digest(forget.tolist()),
        "precision": str(resolve_precision(config.precision, compute_device())),
        "seed": seed,
        **curve_key((a, b), config),
    }
    keep = keeping(store, key, a.state, model)
    return study_connection(problem, a, b, config, seed, keep_control=keep, progress=telling(told, "connecting"))


def connection_digest(connection: Connection, data: StudyData) -> str:
    """Return what tells a study of files from others whose files have the same names.

    Args:
        connection: what came out.
        data: that it came out of.

    Returns:
        SHA-256, hexadecimal, over ends, network, manifest and the ids in whatever order.
    """
    with data.manifest.open("rb") as file:
        manifest = hashlib.file_digest(file, "sha256").hexdigest()
    content = {
        "ends": [connection.first.digest, connection.second.digest],
        "architecture": connection.architecture.model_dump(mode="json"),
        "manifest": manifest,
        "forget": sorted(set(data.forget)),
    }
    return canonical_digest(content)


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
