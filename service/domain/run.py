"""Runs: one unlearning of one lineage for a batch of tickets, in attempts."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from mcu_core.config import ArchitectureConfig, Rung, Seed, UnlearningConfig
from mcu_core.judging.policy import AuditPolicy
from mcu_core.report import AttemptSummary, AuditPlan, Digest, Verdict
from service.domain.document import Document


class RunPhase(StrEnum):
    """Where a run stands."""

    PENDING = "pending"
    RESOLVING = "resolving"
    UNLEARNING = "unlearning"
    AUDITING = "auditing"
    PUBLISHING = "publishing"
    COMMITTED = "committed"
    FAILED = "failed"
    ABANDONED = "abandoned"


CLOSED_PHASES = frozenset({RunPhase.COMMITTED, RunPhase.FAILED, RunPhase.ABANDONED})

PHASE_ORDER: dict[RunPhase, frozenset[RunPhase]] = {
    RunPhase.PENDING: frozenset({RunPhase.RESOLVING, RunPhase.FAILED, RunPhase.ABANDONED}),
    RunPhase.RESOLVING: frozenset({RunPhase.UNLEARNING, RunPhase.FAILED, RunPhase.ABANDONED}),
    RunPhase.UNLEARNING: frozenset({RunPhase.UNLEARNING, RunPhase.AUDITING, RunPhase.FAILED, RunPhase.ABANDONED}),
    RunPhase.AUDITING: frozenset({RunPhase.UNLEARNING, RunPhase.PUBLISHING, RunPhase.FAILED, RunPhase.ABANDONED}),
    RunPhase.PUBLISHING: frozenset({RunPhase.COMMITTED, RunPhase.FAILED, RunPhase.ABANDONED}),
    RunPhase.COMMITTED: frozenset(),
    RunPhase.FAILED: frozenset(),
    RunPhase.ABANDONED: frozenset(),
}
"""Which phase may follow which; UNLEARNING follows itself when an attempt is repeated."""


class RunCanaries(Document):
    """How many canaries a run got, and the commitment to the coins that decided who was trained on."""

    included: Annotated[int, Field(ge=0)]
    """Trained on, and forgotten by this run together with the tickets' samples."""
    excluded: Annotated[int, Field(ge=0)]
    """Never trained on: what the audit compares the others with."""
    wanted: Annotated[int, Field(ge=1)]
    """Of either kind, had there been enough."""
    commitment: Digest
    """SHA-256 of the register of canaries, as registered with the model before any run."""
    mislabelled: bool
    """Whether they have wrong classes, those that were trained on and the others alike."""


def _is_absent(value: RunCanaries | None) -> bool:
    return value is None


def _is_empty(value: tuple[str, ...]) -> bool:
    return not value


class RunSpec(Document):
    """Everything that decides a run's result, frozen when its batch closes. Its digest is the run's id."""

    schema_version: Literal[1] = 1
    lineage: str
    sequence: Annotated[int, Field(ge=1)]
    """Number of the run within its lineage."""
    base_release: Annotated[int, Field(ge=1)]
    base_model_digest: Digest
    architecture: ArchitectureConfig
    baseline_train_accuracy: float | None
    manifest_digest: Digest
    resolution_digest: Digest
    forget_count: Annotated[int, Field(ge=1)]
    """Samples of the tickets; canaries are not among them."""
    config: UnlearningConfig
    policy: AuditPolicy
    seed: Seed
    audit_family: Digest | None = None
    """Registered references that audit, where there were any."""
    teach_family: Digest | None = None
    """Registered references that teach, where a rung asks for a teacher; never those that audit."""
    canaries: RunCanaries | None = Field(default=None, exclude_if=_is_absent)
    """`None` where none were registered with the model. Then it is left out, so that older runs keep their ids."""
    holds: tuple[str, ...] = Field(default=(), exclude_if=_is_empty)
    """Ids of the holds whose samples it leaves alone, sorted: what a hold names never changes. Left out likewise."""

    @property
    def unlearned_count(self) -> int:
        """Return how many samples the run forgets: those of the tickets and the canaries among them."""
        return self.forget_count + (self.canaries.included if self.canaries else 0)

    @property
    def run_id(self) -> str:
        """Return the run's id: equal specifications are the same run, so that dispatch is idempotent."""
        return f"run-{self.digest[:32]}"


class WorkOrder(Document):
    """What one job does: one attempt of one run on one rung of its ladder.

    The worker gets nothing else: no database, no secret but the split key, no sample id.
    """

    schema_version: Literal[1] = 1
    run_id: str
    spec: RunSpec
    epoch: Annotated[int, Field(ge=1)]
    """Counts the executions of the run; what an older one still writes is never read."""
    rung_index: Annotated[int, Field(ge=0)]
    plan: AuditPlan
    """Of the audit, signed before this order was given."""
    tickets: Annotated[int, Field(ge=1)]
    """How many requests the run answers."""
    planned_at: Annotated[int, Field(ge=0)]
    """When the plan was signed, microseconds since 1970-01-01 UTC."""
    pathway_epoch: int | None
    """Attempt whose pathway an `another_point` rung uses."""
    previous_attempts: tuple[AttemptSummary, ...]
    split_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Key of the hash that splits the held-out samples."""

    @property
    def rung(self) -> Rung:
        """Return the rung's settings."""
        return self.spec.config.ladder[self.rung_index]

    @property
    def prefix(self) -> str:
        """Return the folder of this attempt in the object store."""
        return attempt_prefix(self.run_id, self.epoch)


class FailureKind(StrEnum):
    """Kinds of failure and with them what happens next; the value is stable, the exit code follows from it."""

    TRANSIENT = "transient"
    RESOURCE = "resource"
    INPUT = "input"
    QUALITY = "quality"
    NO_EFFECT = "no_effect"
    FENCED = "fenced"


EXIT_CODES: dict[FailureKind, int] = {
    FailureKind.TRANSIENT: 10,
    FailureKind.RESOURCE: 11,
    FailureKind.INPUT: 20,
    FailureKind.QUALITY: 21,
    FailureKind.NO_EFFECT: 22,
    FailureKind.FENCED: 30,
}
"""How a job says what went wrong; a job that dies without a word is transient."""


class Outcome(Document):
    """How an attempt ended, written last: once it is there, everything that it names is."""

    schema_version: Literal[1] = 1
    candidate_digest: Digest | None = None
    report_digest: Digest | None = None
    scores_digest: Digest | None = None
    failure: FailureKind | None = None
    message: str = ""


Count = Annotated[int, Field(ge=0, lt=2**31)]


class ProgressSnapshot(Document):
    """How far an attempt is."""

    phase: Annotated[str, Field(max_length=64)]
    epoch: Count = 0
    epochs: Count = 0
    step: Count = 0
    steps: Count = 0
    seconds: float = 0.0
    """Since the attempt began."""
    seconds_left: float | None = None
    """Of this phase, extrapolated."""


class RunAction(StrEnum):
    """What an operator may have done with a run."""

    RETRY = "retry"
    ESCALATE = "escalate"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrder:
    """What an operator had done with a run; kept with it, so that the same request is carried out once.

    Attributes:
        rung_index: on the run's ladder, of an escalation.
    """

    request_id: str
    action: RunAction
    reason: str
    rung_index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlearningRun:
    """A run and how far it is.

    Attributes:
        epoch: fencing token: the attempt whose output counts.
        rung_index: rung of the ladder that this attempt stands on.
        failures: counted failures on this rung since it was entered.
        attempts: audited candidates so far, oldest first.
        pathway_epoch: attempt that stored the pathway.
        plan_digest: of this attempt's audit; nothing is dispatched before it is in the ledger.
        retry_at: nothing is dispatched before this.
        orders: of operators, oldest first.
    """

    run_id: str
    lineage: str
    tenant: str
    spec: RunSpec
    ticket_ids: tuple[str, ...]
    phase: RunPhase
    created_at: datetime
    phase_since: datetime
    epoch: int = 1
    rung_index: int = 0
    failures: int = 0
    attempts: tuple[AttemptSummary, ...] = ()
    pathway_epoch: int | None = None
    candidate_digest: str | None = None
    report_digest: str | None = None
    plan_digest: str | None = None
    scores_digest: str | None = None
    verdict: Verdict | None = None
    reason: str = ""
    retry_at: datetime | None = None
    closed_at: datetime | None = None
    orders: tuple[RunOrder, ...] = ()
    version: int = 0

    @property
    def is_active(self) -> bool:
        """Return whether the run still holds its lineage."""
        return self.phase not in CLOSED_PHASES

    @property
    def job_name(self) -> str:
        """Return the name under which this attempt's job is known to the runner."""
        return job_name(self.run_id, self.epoch)

    @property
    def ordered_rungs(self) -> int | None:
        """Return how many rungs are left from the one on that an operator has moved it to; `None` where nobody has."""
        ordered = [order.rung_index for order in self.orders if order.rung_index is not None]
        return len(self.spec.config.ladder) - max(ordered) if ordered else None


def enter(run: UnlearningRun, phase: RunPhase, now: datetime) -> UnlearningRun:
    """Return the run in its next phase.

    Raises:
        RuntimeError: that phase may not follow this one.
    """
    if phase not in PHASE_ORDER[run.phase]:
        raise RuntimeError(f"{run.run_id}: {phase.value} may not follow {run.phase.value}")
    closed_at = now if phase in CLOSED_PHASES else None
    return replace(run, phase=phase, phase_since=now, closed_at=closed_at)


def job_name(run_id: str, epoch: int) -> str:
    """Return the name of an attempt's job."""
    return f"{run_id}-{epoch}"


def run_prefix(run_id: str) -> str:
    """Return the folder of a run in the object store."""
    return f"runs/{run_id}"


def attempt_prefix(run_id: str, epoch: int) -> str:
    """Return the folder of one attempt."""
    return f"{run_prefix(run_id)}/attempts/{epoch:04d}"


def plan_key(run_id: str, epoch: int) -> str:
    """Return where the plan of an attempt's audit lies."""
    return f"{attempt_prefix(run_id, epoch)}/plan.json"


def plan_envelope_key(run_id: str, epoch: int) -> str:
    """Return where the signed statement about that plan lies."""
    return f"{attempt_prefix(run_id, epoch)}/plan.dsse.json"


def spec_key(run_id: str) -> str:
    """Return where a run's specification lies."""
    return f"{run_prefix(run_id)}/spec.json"


def resolution_key(run_id: str) -> str:
    """Return where a run's row numbers lie (Parquet: row, part)."""
    return f"{run_prefix(run_id)}/resolution.parquet"
