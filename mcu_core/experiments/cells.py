"""Cells: the things that are trained or measured once, and the records that are kept of them."""

import hashlib
from enum import Enum
from typing import Annotated, Any, Literal, assert_never

import rfc8785
from pydantic import BaseModel, Field, model_validator

from mcu_core.config import (
    AlignConfig,
    CurveConfig,
    MethodConfig,
    ReferenceConfig,
    ReferenceFamilyConfig,
    SelectionConfig,
    Setting,
)
from mcu_core.experiments.setup import Deletion, HardestCount, World
from mcu_core.report import (
    AucEstimate,
    Digest,
    Environment,
    Interval,
    MembershipAttack,
    Part,
    PathPoint,
    References,
    TailTest,
)

FORMAT = 1
"""Raised when a cell of the same settings would come out otherwise: no older record is read then."""


class OriginalCell(Setting):
    """θ_o: trained on D_train."""

    kind: Literal["original"] = "original"
    world: World


class UntouchedCell(Setting):
    """The original as it stands towards a deletion: what an audit must see a difference to."""

    kind: Literal["untouched"] = "untouched"
    world: World
    deletion: Deletion


class RetrainedCell(Setting):
    """RT: trained on D_r alone."""

    kind: Literal["retrained"] = "retrained"
    world: World
    deletion: Deletion


class ReferenceCell(Setting):
    """One member of a family of leave-out references: trained on D_train without one fold."""

    kind: Literal["reference"] = "reference"
    world: World
    """Its own seed draws D_train; see `World.shared`."""
    family: ReferenceFamilyConfig
    fold: Annotated[int, Field(ge=0)]


class UnlearnedCell(Setting):
    """θ_p: the original after an unlearning method, with BatchNorm statistics of D_r."""

    kind: Literal["unlearned"] = "unlearned"
    world: World
    deletion: Deletion
    method: MethodConfig
    teachers: tuple[ReferenceFamilyConfig, ...] = ()
    """Families that answer for models without D_f, where the method asks for them."""


class PathwayCell(Setting):
    """A pathway from the original to θ_p and the model that is chosen on it."""

    kind: Literal["pathway"] = "pathway"
    world: World
    deletion: Deletion
    method: MethodConfig
    """Of θ_p."""
    curve: CurveConfig = CurveConfig()
    selection: SelectionConfig = SelectionConfig()
    teachers: tuple[ReferenceFamilyConfig, ...] = ()
    """Of the curve's objective and of θ_p's method."""


AuditableCell = Annotated[UntouchedCell | RetrainedCell | UnlearnedCell | PathwayCell, Field(discriminator="kind")]
"""Cells that have a model with something to forget."""


class AuditedCell(Setting):
    """A model measured against references that taught nobody: what is left of D_f beside how hard it is."""

    kind: Literal["audited"] = "audited"
    of: AuditableCell
    family: ReferenceFamilyConfig

    @model_validator(mode="after")
    def _audits_no_pupil(self) -> "AuditedCell":
        teachers = self.of.teachers if isinstance(self.of, UnlearnedCell | PathwayCell) else ()
        if self.family.seed in {teacher.seed for teacher in teachers}:
            raise ValueError("the family that taught a model cannot audit it: take another seed")
        return self


class SweepCell(Setting):
    """A pathway measured at equally spaced t, on D_t as well: what the figures show and nothing chooses by."""

    kind: Literal["sweep"] = "sweep"
    pathway: PathwayCell
    points: Annotated[int, Field(ge=4, le=201)] = 20
    """The paper's."""
    images: Annotated[int, Field(ge=10)] = 2048
    """Of D_r and of D_t, each (seeded sample)."""


Cell = Annotated[
    OriginalCell
    | UntouchedCell
    | RetrainedCell
    | ReferenceCell
    | UnlearnedCell
    | PathwayCell
    | AuditedCell
    | SweepCell,
    Field(discriminator="kind"),
]
"""Everything that is kept under a digest."""
StateCell = OriginalCell | RetrainedCell | ReferenceCell | UnlearnedCell
"""Cells whose weights are one model."""


def dependencies(cell: Cell) -> tuple[Cell, ...]:  # noqa: PLR0911 - one case a kind
    """Return the cells whose weights a cell needs when it is run."""
    match cell:
        case OriginalCell() | ReferenceCell():
            return ()
        case RetrainedCell():
            return _judges(cell)
        case UntouchedCell():
            return (OriginalCell(world=cell.world), *_judges(cell))
        case UnlearnedCell():
            return (OriginalCell(world=cell.world), *members(cell.world, *cell.teachers), *_judges(cell))
        case PathwayCell():
            teachers = members(cell.world, *cell.teachers)
            return (OriginalCell(world=cell.world), unlearned_of(cell), *teachers, *_judges(cell))
        case AuditedCell(of=audited):
            return (OriginalCell(world=audited.world), audited, *members(audited.world, cell.family), *_judges(audited))
        case SweepCell(pathway=pathway):
            retrained = RetrainedCell(world=pathway.world, deletion=pathway.deletion)
            return (OriginalCell(world=pathway.world), retrained, pathway, *_judges(pathway))
        case _:
            assert_never(cell)


def _judges(cell: AuditableCell) -> "tuple[ReferenceCell, ...]":
    """Return the references that say what is hard, where that decides what is forgotten."""
    return members(cell.world, cell.deletion.family) if isinstance(cell.deletion, HardestCount) else ()


def unlearned_of(cell: PathwayCell) -> UnlearnedCell:
    """Return the cell of the θ_p at which a pathway ends."""
    teachers = cell.teachers if asks_teachers(cell.method) else ()
    return UnlearnedCell(world=cell.world, deletion=cell.deletion, method=cell.method, teachers=teachers)


def asks_teachers(method: MethodConfig) -> bool:
    """Return whether a method wants answers of models that never saw D_f."""
    return isinstance(method, AlignConfig) and isinstance(method.objective, ReferenceConfig)


def members(world: World, *families: ReferenceFamilyConfig) -> tuple[ReferenceCell, ...]:
    """Return the cells of all members of some families."""
    return tuple(
        ReferenceCell(world=world.shared, family=family, fold=fold)
        for family in families
        for fold in range(family.folds)
    )


def world_of(cell: Cell) -> World:
    """Return what the original behind a cell depends on."""
    match cell:
        case SweepCell(pathway=pathway):
            return pathway.world
        case AuditedCell(of=audited):
            return audited.world
        case _:
            return cell.world


def deletion_of(cell: AuditableCell | AuditedCell | SweepCell) -> Deletion:
    """Return what a cell is to forget."""
    match cell:
        case SweepCell(pathway=pathway):
            return pathway.deletion
        case AuditedCell(of=audited):
            return audited.deletion
        case _:
            return cell.deletion


def cell_digest(cell: Cell) -> str:
    """Return the name of a cell: the SHA-256 of what it depends on.

    Settings that have their default are left out. A setting that is added later, with the old behaviour as its default,
    therefore leaves every digest as it was; that no default has changed since is checked where a record is read.

    Args:
        cell: its settings.

    Returns:
        64 hexadecimal digits, of the canonical JSON (RFC 8785) of `FORMAT`, settings and the digests of dependencies.
    """
    content = {"format": FORMAT, "cell": essence(cell), "needs": [cell_digest(need) for need in dependencies(cell)]}
    return hashlib.sha256(rfc8785.dumps(content)).hexdigest()


def essence(value: Any) -> Any:
    """Return settings as a JSON value without what has its default; `kind` always stays, it tells classes apart."""
    match value:
        case BaseModel():
            fields = type(value).model_fields
            return {
                name: essence(getattr(value, name))
                for name, field in fields.items()
                if name == "kind" or getattr(value, name) != field.get_default(call_default_factory=True)
            }
        case tuple():
            return [essence(part) for part in value]
        case Enum():
            return value.value
        case _:
            return value


class Cost(Part):
    """What one phase took."""

    seconds: float
    """Wall time, which a shared machine stretches."""
    cpu_seconds: float
    """Of all threads of the process."""
    trained: int = 0
    """Images that went forward and backward."""
    evaluated: int = 0
    """Images that went forward only."""


class Metrics(Part):
    """What the tables compare. Rates are fractions."""

    unlearning: float
    """UA = 1 - accuracy on D_f."""
    class_unlearning: float | None
    """UA_test = 1 - accuracy on the test images of the forgotten class."""
    retain: float
    """RA."""
    test: float
    """TA, without the forgotten class."""
    membership: MembershipAttack
    """Its `nonmember_share` is the paper's MIA."""
    auc: AucEstimate
    """Of φ, D_f against sealed unseen images of the same classes."""
    tails: tuple[TailTest, ...]
    """Both 1 % tails of φ."""


class Chosen(Part):
    """How the model on a pathway was found."""

    t: float
    evaluated: tuple[PathPoint, ...]
    mask_share: float
    mask_tensors: int
    mask_note: str | None
    beta_counts: dict[str, int]


class SweepPoint(Part):
    """Accuracies at one t, or of the retrained model on the same images."""

    t: float
    forget: float
    retain: float
    test: float
    class_test: float | None = None
    """On the test images of the forgotten class, where one is."""


class Sweep(Part):
    """The pathway along t."""

    points: tuple[SweepPoint, ...]
    alignment: tuple[PathPoint, ...]
    """The same points as the choice of t sees them."""
    region: tuple[Interval, ...]
    """The effective region."""
    retrained: SweepPoint
    """Its t means nothing."""


class CellRecord(Part):
    """All that is kept of a cell besides weights."""

    format: int = FORMAT
    cell: Cell
    """Every setting, defaults included."""
    inputs: dict[str, Digest] = Field(default_factory=dict)
    """Weights that it was computed from, by the digests of their cells."""
    weights: Digest | None = None
    """Of the weights that it left, where it left any; made again elsewhere they may differ in the last bits."""
    epochs: int | None = None
    """That a training from scratch took."""
    train_accuracy: float | None = None
    """Of the original on D_train."""
    metrics: Metrics | None = None
    chosen: Chosen | None = None
    sweep: Sweep | None = None
    calibrated: AucEstimate | None = None
    """Of φ minus a reference's φ, D_f against the same sealed images as `metrics.auc`; so the tails, if not older."""
    calibrated_tails: tuple[TailTest, ...] = ()
    references: References | None = None
    costs: dict[str, Cost] = Field(default_factory=dict)
    """By phase, without the cells that this one rests on and without what measuring took."""
    diverged: str | None = None
    """Why there are no numbers: the method, or one that it rests on, diverged or had no effect."""
    environment: Environment

    @property
    def cost(self) -> Cost:
        """Return the sum over phases."""
        return add_costs(tuple(self.costs.values()))


def add_costs(costs: tuple[Cost, ...]) -> Cost:
    """Return the sum of costs."""
    return Cost(
        seconds=sum(cost.seconds for cost in costs),
        cpu_seconds=sum(cost.cpu_seconds for cost in costs),
        trained=sum(cost.trained for cost in costs),
        evaluated=sum(cost.evaluated for cost in costs),
    )
