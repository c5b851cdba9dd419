"""The papers' tables and figures over one data set: from a request to what is written."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mcu_core.config import Precision
from mcu_core.errors import ConfigurationError
from mcu_core.experiments.artefacts import Artefact, Rendered, cells_of, is_table, render
from mcu_core.experiments.cells import Cell
from mcu_core.experiments.laboratory import Laboratory
from mcu_core.experiments.paper import Study
from mcu_core.experiments.plan import Standing, Stopwatch, missing
from mcu_core.experiments.setup import samples_digest
from mcu_core.experiments.store import CellStore
from mcu_core.types import ProgressUpdate
from service.errors import FieldViolation, InvalidRequestError
from service.worker.job import compute_device
from service.worker.research import ResearchData
from service.worker.threads import use_threads

DEFAULT_TRAIN_IMAGES = 12_000
SMALL_DATA_SHARE = 2 / 3
"""Of a training split that is not much larger than `DEFAULT_TRAIN_IMAGES`; the rest makes the audit's non-members."""
TABLE_SEEDS, FIGURE_SEEDS = (0, 1, 2), (0,)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRequest:
    """What a person asks for; `None` takes what suits the artefact and the data."""

    artefact: str
    data: str
    """Name, for people."""
    train_images: int | None
    seeds: tuple[int, ...] | None
    epochs: int
    share: float
    label: int
    count: int | None
    hardest: bool
    folds: int
    method_epochs: int | None
    curve_epochs: int | None
    precision: str
    threads: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult:
    """What came out.

    Attributes:
        planned: cells that were missing, or whose weights were.
    """

    rendered: Rendered
    planned: int


def run_bench(
    request: BenchRequest, data: ResearchData, store: Path, *, progress: Callable[[Standing], None]
) -> BenchResult:
    """Run the cells of an artefact that the store lacks, and render it.

    Args:
        request: which artefact, and its settings.
        data: what was loaded.
        store: folder of the cells.
        progress: told at every step.

    Raises:
        InvalidRequestError: there is no such artefact or precision.
        ConfigurationError: the settings do not fit the data.
    """
    artefact, study = study_of(request, data)
    use_threads(request.threads)
    kept = CellStore(store)
    cells = cells_of(artefact, study)
    plan = missing(cells, kept)
    stopwatch = Stopwatch(plan, time.monotonic)

    def tell(cell: Cell, update: ProgressUpdate, /) -> None:
        progress(stopwatch(cell, update))

    laboratory = Laboratory(data.samples, kept, device=compute_device(), progress=tell)
    records = {cell: laboratory.record(cell) for cell in (*plan, *cells)}
    return BenchResult(rendered=render(artefact, study, records), planned=len(plan))


def study_of(request: BenchRequest, data: ResearchData) -> tuple[Artefact, Study]:
    """Return the artefact and its settings, defaults filled in."""
    _require_one_of("artefact", request.artefact, tuple(Artefact))
    _require_one_of("precision", request.precision, tuple(Precision))
    if request.label >= data.architecture.classes:
        raise ConfigurationError(f"there is no class {request.label} among {data.architecture.classes}")
    artefact = Artefact(request.artefact)
    most = int(SMALL_DATA_SHARE * len(data.samples.train))
    study = Study(
        data=request.data,
        data_digest=samples_digest(data.samples),
        architecture=data.architecture,
        train_images=request.train_images or min(DEFAULT_TRAIN_IMAGES, most),
        seeds=request.seeds or (TABLE_SEEDS if is_table(artefact) else FIGURE_SEEDS),
        epochs=request.epochs,
        precision=Precision(request.precision),
        share=request.share,
        label=request.label,
        count=request.count,
        hardest=request.hardest,
        folds=request.folds,
        method_epochs=request.method_epochs,
        curve_epochs=request.curve_epochs,
    )
    return artefact, study


def _require_one_of(field: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InvalidRequestError(FieldViolation(field=field, description=f"must be one of {', '.join(known)}"))
