"""The papers' tables and figures over one data set: from a request to what is written."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from mcu_core.config import Augmentation, Precision
from mcu_core.errors import ConfigurationError, DataError
from mcu_core.experiments.artefacts import Artefact, Rendered, cells_of, is_audited, is_table, render
from mcu_core.experiments.cases import BENCH_EPOCHS, PaperCase
from mcu_core.experiments.cells import (
    Cell,
    CellRecord,
    OriginalCell,
    PathwayCell,
    ReferenceCell,
    deletion_of,
    unlearned_of,
    world_of,
)
from mcu_core.experiments.laboratory import Laboratory
from mcu_core.experiments.metrics import draw_measured_rows
from mcu_core.experiments.paper import Study
from mcu_core.experiments.plan import Standing, Stopwatch, missing
from mcu_core.experiments.setup import (
    HardestCount,
    RandomCount,
    Samples,
    Split,
    WholeClass,
    World,
    draw_split,
)
from mcu_core.experiments.store import CellStore
from mcu_core.types import ProgressUpdate
from service.errors import FieldViolation, InvalidRequestError
from service.worker.device import compute_device
from service.worker.research import ResearchData
from service.worker.results import NamedSetting, result_name
from service.worker.threads import use_threads

DEFAULT_TRAIN_IMAGES = 12_000
SMALL_DATA_SHARE = 2 / 3
"""Of a training split that is not much larger than `DEFAULT_TRAIN_IMAGES`; the rest makes the audit's non-members."""
TABLE_SEEDS, FIGURE_SEEDS = (0, 1, 2), (0,)
DEFAULT_MODEL = "preresnet20"
MAX_SEED = 2**53 - 1
"""JSON has no exact whole numbers beyond it."""
_NAME_DIGITS = 8
"""Of the digest of a person's own data, in the name of a result."""
_OF_FORGETTING = ("count", "hardest", "folds")


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRequest:
    """What a person asks for; `None` takes what suits the artefact and the data."""

    artefact: str
    data: str = "fashion-mnist"
    """Name, for people."""
    is_own_data: bool = False
    """Whether the data are a person's own manifest, which its name does not tell from another one."""
    train_images: int | None = None
    seeds: tuple[int, ...] | None = None
    epochs: int = BENCH_EPOCHS
    share: float = 0.1
    label: int | None = None
    count: int | None = None
    hardest: bool = False
    folds: int = 5
    method_epochs: int | None = None
    curve_epochs: int | None = None
    image_size: int | None = None
    """Pixels to which the data's images were resized; `None`: they have their own size."""
    channels: int | None = None
    """To which the data's images were converted; `None`: they have their own."""
    augmentation: str = "none"
    settings: str = "cifar10"
    precision: str = "auto"
    threads: int = 1
    """Not the idle cores: how many they are would decide the last bits of a result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult:
    """What came out.

    Attributes:
        name: stem of its files, with every setting that has not its default.
        planned: cells that were missing, or whose weights were.
        warnings: for a person, on what the numbers rest.
    """

    name: str

    rendered: Rendered
    planned: int
    warnings: tuple[str, ...]


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
        InvalidRequestError: as `require_measurable`.
        ConfigurationError: the settings do not fit the data.
        DataError: nothing would be forgotten, or nothing kept.
    """
    artefact, study = study_of(request, data)
    cells = _with_ends(cells_of(artefact, study))
    _require_splits(cells, data.samples)
    use_threads(request.threads)
    kept = CellStore(store)
    plan = missing(cells, kept)
    stopwatch = Stopwatch(plan, time.monotonic)

    def tell(cell: Cell, update: ProgressUpdate, /) -> None:
        progress(stopwatch(cell, update))

    laboratory = Laboratory(data.samples, kept, device=compute_device(), progress=tell)
    for cell in plan:
        laboratory.record(cell)
    # Not those of the plan: what is written must not depend on which cells this run happened to find.
    records = {cell: laboratory.record(cell) for cell in cells}
    originals = _originals(cells, kept)
    return BenchResult(
        name=result_stem(request, study, data),
        rendered=_with_originals(render(artefact, study, records), originals),
        planned=len(plan),
        warnings=_warnings(originals),
    )


def require_measurable(request: BenchRequest) -> None:
    """Check what can be checked without data.

    Raises:
        InvalidRequestError: there is no such artefact, precision, augmentation or settings, a seed, the share or the
            number of channels cannot be, or the artefact would ignore a setting.
    """
    _require_one_of("artefact", request.artefact, tuple(Artefact))
    _require_one_of("precision", request.precision, tuple(Precision))
    _require_one_of("augmentation", request.augmentation, tuple(Augmentation))
    _require_one_of("settings", request.settings, tuple(PaperCase))
    if request.channels is not None:
        _require_one_of("channels", str(request.channels), ("1", "3"))
    _require_seeds(request.seeds or ())
    if not 0.0 < request.share < 1.0:
        raise InvalidRequestError(FieldViolation(field="share", description="must lie between 0 and 1"))
    plain = BenchRequest(artefact=request.artefact)
    ignored = [name for name in _unread(request) if getattr(request, name) != getattr(plain, name)]
    if ignored:
        besides = ""
        if is_audited(Artefact(request.artefact)):
            besides = " of a class" if request.label is not None else " with a count"
        description = f"says nothing to {request.artefact}{besides}: leave it out"
        raise InvalidRequestError(*(FieldViolation(field=name, description=description) for name in ignored))


def study_of(request: BenchRequest, data: ResearchData) -> tuple[Artefact, Study]:
    """Return the artefact and its settings, defaults filled in."""
    require_measurable(request)
    if request.label is not None and request.label >= data.architecture.classes:
        raise ConfigurationError(f"there is no class {request.label} among {data.architecture.classes}")
    artefact = Artefact(request.artefact)
    is_usual_class = not is_audited(artefact) and request.label == WholeClass().label
    study = Study(
        data=request.data,
        data_digest=data.samples.digest,
        architecture=data.architecture,
        train_images=request.train_images or usual_train_images(data.samples),
        seeds=request.seeds or _usual_seeds(artefact),
        epochs=request.epochs,
        augmentation=Augmentation(request.augmentation),
        case=PaperCase(request.settings),
        precision=Precision(request.precision),
        share=request.share,
        label=None if is_usual_class else request.label,
        count=request.count,
        hardest=request.hardest,
        folds=request.folds,
        method_epochs=request.method_epochs,
        curve_epochs=request.curve_epochs,
    )
    return artefact, study


def usual_train_images(samples: Samples) -> int:
    """Return the size of D_train where nobody says otherwise."""
    return min(DEFAULT_TRAIN_IMAGES, int(SMALL_DATA_SHARE * len(samples.train)))


def _usual_seeds(artefact: Artefact) -> tuple[int, ...]:
    return TABLE_SEEDS if is_table(artefact) else FIGURE_SEEDS


def _unread(request: BenchRequest) -> tuple[str, ...]:
    """Return the settings that an artefact does not depend on."""
    match Artefact(request.artefact):
        case Artefact.FORGETTING | Artefact.FORGETTING_ABLATION if request.label is not None:
            return ("share", "count", "hardest")
        case Artefact.FORGETTING | Artefact.FORGETTING_ABLATION:
            return () if request.count is None else ("share",)
        case Artefact.TABLE3:
            return ("share", *_OF_FORGETTING)
        case Artefact.FIGURE3:
            return _OF_FORGETTING
        case _:
            return ("label", *_OF_FORGETTING)


def _with_ends(cells: Iterable[Cell]) -> tuple[Cell, ...]:
    """Return cells and the θ_p of their pathways, whose costs are part of a pathway's, each once."""
    found: dict[Cell, None] = {}
    for cell in cells:
        if isinstance(cell, PathwayCell):
            found[unlearned_of(cell)] = None
        found[cell] = None
    return tuple(found)


def _require_splits(cells: Iterable[Cell], samples: Samples) -> None:
    """Draw once what every cell forgets, so that nothing is trained for a deletion that cannot be."""
    kinds = OriginalCell | ReferenceCell
    for world, deletion in {(world_of(cell), deletion_of(cell)) for cell in cells if not isinstance(cell, kinds)}:
        # Which samples are the hardest is not known yet, but how many of them there would be.
        drawn = RandomCount(count=deletion.count) if isinstance(deletion, HardestCount) else deletion
        split = draw_split(samples, world, drawn)
        if drawn is deletion:
            _require_sealed(samples, split, world)


def _require_sealed(samples: Samples, split: Split, world: World) -> None:
    """Check that there are unseen samples of every class that is forgotten."""
    try:
        draw_measured_rows(samples.data.labels, split, world.seed)
    except DataError as error:
        raise DataError(f"{error}: fewer training images leave more of each class") from error


def _originals(cells: Iterable[Cell], kept: CellStore) -> tuple[CellRecord, ...]:
    """Return the records of the originals behind some cells, each once."""
    originals = dict.fromkeys(
        OriginalCell(world=world_of(cell)) for cell in cells if not isinstance(cell, ReferenceCell)
    )
    records = (kept.read(original) for original in originals)
    return tuple(record for record in records if record is not None)


def _with_originals(rendered: Rendered, originals: Iterable[CellRecord]) -> Rendered:
    told = [
        {"seed": world_of(record.cell).seed, "train_accuracy": record.train_accuracy, "epochs": record.epochs}
        for record in originals
    ]
    return replace(rendered, data={**rendered.data, "originals": told})


def _warnings(originals: Iterable[CellRecord]) -> tuple[str, ...]:
    """Name the originals that memorised too little: there is nothing to forget, and every method looks good."""
    found = []
    for record in originals:
        world, reached = world_of(record.cell), record.train_accuracy
        wanted = world.recipe.stop_at_train_accuracy
        if reached is not None and wanted is not None and reached < wanted:
            found.append(
                f"the original of seed {world.seed} knows {reached:.1%} of its training images, not {wanted:.1%}: what "
                "it did not memorise cannot be forgotten. More --epochs, or no augmentation, let it memorise more."
            )
    return tuple(found)


def result_stem(request: BenchRequest, study: Study, data: ResearchData) -> str:
    """Return what the files of a result are called: the artefact and every setting that has not its default."""
    plain = BenchRequest(artefact=request.artefact)
    own = study.data_digest[:_NAME_DIGITS] if request.is_own_data else None
    return result_name(
        request.artefact,
        NamedSetting(value=request.count, default=None),
        NamedSetting(word="hardest", value=request.hardest, default=False),
        NamedSetting(word="share", value=request.share, default=plain.share),
        NamedSetting(word="label", value=study.label, default=None),
        NamedSetting(value=request.data, default=plain.data),
        NamedSetting(value=own, default=None),
        NamedSetting(value=study.architecture.name, default=DEFAULT_MODEL),
        NamedSetting(word="train", value=study.train_images, default=usual_train_images(data.samples)),
        NamedSetting(word="seeds", value=study.seeds, default=_usual_seeds(Artefact(request.artefact))),
        NamedSetting(word="epochs", value=request.epochs, default=plain.epochs),
        NamedSetting(word="folds", value=request.folds, default=plain.folds),
        NamedSetting(word="method-epochs", value=request.method_epochs, default=None),
        NamedSetting(word="curve-epochs", value=request.curve_epochs, default=None),
        NamedSetting(word="image-size", value=request.image_size, default=None),
        NamedSetting(word="channels", value=request.channels, default=None),
        NamedSetting(value=request.augmentation, default=plain.augmentation),
        NamedSetting(word="settings", value=request.settings, default=plain.settings),
        NamedSetting(value=request.precision, default=plain.precision),
    )


def _require_one_of(field: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InvalidRequestError(FieldViolation(field=field, description=f"must be one of {', '.join(known)}"))


def _require_seeds(seeds: tuple[int, ...]) -> None:
    # A seed named twice would be measured once and counted as two that agree.
    if len(set(seeds)) < len(seeds):
        raise InvalidRequestError(FieldViolation(field="seeds", description="must differ: a run is counted once"))
    if any(not 0 <= seed <= MAX_SEED for seed in seeds):
        raise InvalidRequestError(FieldViolation(field="seeds", description=f"must lie in 0 to {MAX_SEED}"))
