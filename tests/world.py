"""The whole service in memory, with jobs that do what a test tells them."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import numpy as np
from safetensors.numpy import save

from mcu_core.report import AuditReport
from service import report_page, resolution_file
from service.adapters.memory import FrozenClock, InProcessJobRunner, MemoryObjectStore, MemorySigner
from service.adapters.memory_store import MemoryStore
from service.adapters.weights_header import check_weights
from service.batching import Batcher
from service.domain.commitment import CommitmentKey
from service.domain.deadline import Regime
from service.domain.drift import DriftBudget
from service.domain.hold import Hold, HoldOrder, HoldTreatment
from service.domain.ledger import LedgerEntry, verify_chain
from service.domain.model import Model
from service.domain.release import Release, pointer_key
from service.domain.resolution import Resolution
from service.domain.run import FailureKind, RunPhase, UnlearningRun, WorkOrder, resolution_key
from service.domain.submission import Registration, Submission
from service.domain.ticket import Ticket, TicketState
from service.examination import Examiner
from service.held_samples import HeldSamples
from service.holding import HoldOffice
from service.intake import Intake
from service.planning import Planner
from service.ports import DecodedPixels, JobRunner, ManifestSource, ObjectStore, Store, imported_weights_key
from service.publishing import Publisher
from service.receipts import ReceiptOffice
from service.recomputation import Recompute
from service.reconciler import Reconciler
from service.references import ReferenceRegister
from service.registration import Registry
from service.release_desk import ReleaseDesk
from service.release_keeping import ReleaseKeeper
from service.selecting import Selector
from service.steering import RunSteering
from service.transitions import Transitions
from service.uploads import UploadOffice, UploadStore
from service.workflow import Workflow
from tests.attempts import Attempt, accept, told_evidence
from tests.canaries import APPENDED_ROWS, MANY, REGISTER, planted
from tests.memory_manifests import MemoryManifestSource
from tests.records import ARCHITECTURE, LINEAGE, NOW, RECIPE, TENANT
from tests.results import POLICY

KEY = CommitmentKey(bytes(range(32)))
SIGNER = MemorySigner(b"s" * 32)
ACTOR = "alice"
WEIGHTS = save({"layer.weight": np.zeros((3, 4), np.float32), "layer.bias": np.zeros(3, np.float32)})
ATTEMPT_FAILURES = 3
CANARIES_PER_RUN = 3
RETRY_SECONDS = 10.0
UNLIMITED_DRIFT = DriftBudget(runs=1000, forget_share=1.0)
ROLLBACK_WINDOW = timedelta(days=7)
MOST_UPLOADED = 1000
PURGE_AFTER = timedelta(days=28)
_ROUNDS = 60
"""More than any story needs."""
_OPEN_BY_ITSELF = frozenset(
    {TicketState.ACCEPTED, TicketState.SCHEDULED, TicketState.PROCESSING, TicketState.PUBLISHED}
)


@dataclass(slots=True)
class Observed:
    """Everything that the workflow told its observer."""

    phases: list[tuple[RunPhase, float]] = field(default_factory=list)
    closed: list[tuple[RunPhase, FailureKind | None]] = field(default_factory=list)
    audited: list[AuditReport] = field(default_factory=list)
    conflicts: int = 0

    def phase_ended(self, phase: RunPhase, seconds: float) -> None:
        self.phases.append((phase, seconds))

    def run_closed(self, result: RunPhase, failure: FailureKind | None = None) -> None:
        self.closed.append((result, failure))

    def candidate_audited(self, report: AuditReport) -> None:
        self.audited.append(report)

    def publish_conflict(self) -> None:
        self.conflicts += 1


@dataclass(slots=True)
class Erased:
    """Which decoded images were erased: (lineage, manifest, row)."""

    rows: set[tuple[str, str, int]] = field(default_factory=set)

    def erase(self, lineage: str, manifest_digest: str, rows: Collection[int]) -> None:
        self.rows |= {(lineage, manifest_digest, row) for row in rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One life of the service's process: what it remembers dies with it."""

    intake: Intake
    registry: Registry
    workflow: Workflow
    reconciler: Reconciler


def world_with_canaries(*attempts: Attempt, **ports: Any) -> "World":
    """Return a world in which registering brings canaries."""
    manifests = planted()
    world = World(*attempts, manifests=manifests, **ports)
    world.registration = replace(world.registration, manifest_digest=manifests.digest, canaries=REGISTER)
    return world


def plain_world(*attempts: Attempt, **ports: Any) -> "World":
    """Return a world whose manifest holds `memory_manifests.ROWS` and no canaries, in which little can be accepted."""
    manifests = ports.pop("manifests", None) or MemoryManifestSource()
    world = World(*attempts, manifests=manifests, **ports)
    world.registration = replace(world.registration, manifest_digest=MemoryManifestSource().digest, canaries=None)
    return world


class World:
    """What outlives a process: store, objects, jobs, time; and what the jobs do."""

    def __init__(
        self,
        *attempts: Attempt,
        store: Store | None = None,
        objects: ObjectStore | None = None,
        manifests: ManifestSource | None = None,
        recompute: Recompute = told_evidence,
        drift_budget: DriftBudget = UNLIMITED_DRIFT,
    ) -> None:
        """Begin with nothing but weights and a manifest; job number n does what attempt n says, the last ones too."""
        self.recompute = recompute
        self.drift_budget = drift_budget
        self.store = MemoryStore() if store is None else store
        self.objects = MemoryObjectStore() if objects is None else objects
        self.manifests = MemoryManifestSource(APPENDED_ROWS) if manifests is None else manifests
        self.clock = FrozenClock(NOW)
        self.observed = Observed()
        self.pixels = Erased()
        self.orders: list[WorkOrder] = []
        self.runner = InProcessJobRunner(self._work)
        self.attempts = attempts or (accept,)
        weights = self.objects.create(imported_weights_key(hashlib.sha256(WEIGHTS).hexdigest()), WEIGHTS)
        self.registration = Registration(
            lineage=LINEAGE,
            request_id="register",
            architecture=ARCHITECTURE,
            manifest_digest=MemoryManifestSource(APPENDED_ROWS).digest,
            weights_digest=weights.sha256,
            recipe=RECIPE,
            baseline_train_accuracy=None,
            canaries=MANY,
        )
        self.service = self.process()

    def process(
        self,
        *,
        store: Store | None = None,
        objects: ObjectStore | None = None,
        runner: JobRunner | None = None,
        pixels: DecodedPixels | None = None,
        max_forget_fraction: float = 0.5,
        rollback_window: timedelta = ROLLBACK_WINDOW,
    ) -> Process:
        """Start the service, on the given ports where they are given."""
        store, objects, runner = store or self.store, objects or self.objects, runner or self.runner
        registry = Registry(
            store=store, objects=objects, manifests=self.manifests, clock=self.clock, check_weights=check_weights
        )
        intake = Intake(
            store=store,
            objects=objects,
            manifests=self.manifests,
            clock=self.clock,
            key=KEY,
            registry=registry,
            selector=Selector(
                manifests=self.manifests,
                key=KEY,
                uploads=UploadOffice(
                    store=cast("UploadStore", store),
                    clock=self.clock,
                    key=KEY,
                    most_ids=MOST_UPLOADED,
                    keep=timedelta(hours=24),
                ),
            ),
            receipts=ReceiptOffice(store=store, manifests=self.manifests, clock=self.clock, key=KEY, signer=SIGNER),
            holding=HoldOffice(store=store, manifests=self.manifests, clock=self.clock, key=KEY),
            steering=RunSteering(store=store, objects=objects, clock=self.clock),
            desk=ReleaseDesk(store=store, objects=objects, clock=self.clock, rollback_window=rollback_window),
            render=report_page.render,
        )
        keeper = ReleaseKeeper(
            store=store,
            objects=objects,
            clock=self.clock,
            rollback_window=rollback_window,
            actor="controller",
        )
        workflow = self._workflow(store, objects, runner, pixels or self.pixels, max_forget_fraction, keeper)
        reconciler = Reconciler(workflow=workflow, interval_seconds=0.01)
        return Process(intake=intake, registry=registry, workflow=workflow, reconciler=reconciler)

    def _workflow(
        self,
        store: Store,
        objects: ObjectStore,
        runner: JobRunner,
        pixels: DecodedPixels,
        max_forget_fraction: float,
        keeper: ReleaseKeeper,
    ) -> Workflow:
        def resolution(run: UnlearningRun) -> Resolution:
            return resolution_file.decode(objects.read(resolution_key(run.run_id)))

        references = ReferenceRegister(
            store=store, objects=objects, clock=self.clock, purge_after=PURGE_AFTER, actor="controller"
        )
        held = HeldSamples(
            store=store, manifests=self.manifests, clock=self.clock, resolution=resolution, actor="controller"
        )
        return Workflow(
            store=store,
            objects=objects,
            manifests=self.manifests,
            runner=runner,
            clock=self.clock,
            key=KEY,
            batcher=Batcher(
                store=store,
                manifests=self.manifests,
                clock=self.clock,
                policy=POLICY,
                references=references,
                held=held,
                max_forget_fraction=max_forget_fraction,
                canaries_per_run=CANARIES_PER_RUN,
                drift_budget=self.drift_budget,
                actor="controller",
            ),
            planner=Planner(
                store=store,
                objects=objects,
                manifests=self.manifests,
                clock=self.clock,
                key=KEY,
                signer=SIGNER,
                references=references,
                forget_rows=lambda run: resolution(run).forget,
            ),
            examiner=Examiner(objects=objects, recompute=self.recompute),
            publisher=Publisher(
                store=store,
                objects=objects,
                clock=self.clock,
                render=report_page.render,
                forget_rows=lambda run: resolution(run).unlearned,
                signer=SIGNER,
                held=held,
            ),
            transitions=Transitions(
                store=store,
                objects=objects,
                runner=runner,
                pixels=pixels,
                clock=self.clock,
                observer=self.observed,
                attempt_failures=ATTEMPT_FAILURES,
                retry_seconds=RETRY_SECONDS,
                actor="controller",
            ),
            references=references,
            held=held,
            keeper=keeper,
            observer=self.observed,
            encode_resolution=resolution_file.encode,
            actor="controller",
        )

    def _work(self, order_key: str) -> int:
        order = WorkOrder.model_validate_json(self.objects.read(order_key))
        self.orders.append(order)
        return self.attempts[min(len(self.orders), len(self.attempts)) - 1](order, self.objects)

    # What people and time do

    def register(self, service: Process | None = None, **changes: object) -> Model:
        """Register the lineage, with some fields changed."""
        service = service or self.service
        registration = replace(self.registration, **changes)  # type: ignore[arg-type]  # names and types are the test's
        return service.intake.register_model(registration, tenant=TENANT, actor=ACTOR)

    def submit(
        self, *sample_ids: str, request_id: str = "request", lineage: str = LINEAGE, service: Process | None = None
    ) -> Ticket:
        """Ask for the deletion of these samples."""
        submission = Submission(lineage=lineage, request_id=request_id, sample_ids=sample_ids, regime=Regime.GDPR)
        self.clock.advance(timedelta(milliseconds=1))
        return (service or self.service).intake.submit_ticket(submission, tenant=TENANT, actor=ACTOR)

    def hold(
        self, *sample_ids: str, request_id: str = "hold", treatment: HoldTreatment = HoldTreatment.RESTRICT
    ) -> Hold:
        """Order that these samples must not be forgotten."""
        order = HoldOrder(
            lineage=LINEAGE,
            request_id=request_id,
            sample_ids=sample_ids,
            legal_basis="Court order 7 O 12/26",
            treatment=treatment,
        )
        self.clock.advance(timedelta(milliseconds=1))
        return self.service.intake.place_hold(order, tenant=TENANT, actor=ACTOR).hold

    def end_hold(self, hold: Hold) -> Hold:
        """End a hold."""
        end = self.service.intake.release_hold(
            hold.hold_id, request_id=f"end {hold.hold_id}", reason="Case closed", tenant=TENANT, actor=ACTOR
        )
        return end.hold

    def round(self, service: Process | None = None) -> None:
        """Let the reconciler look at everything once, and the jobs end; then some time passes."""
        (service or self.service).reconciler.round()
        self.wait_for_jobs()
        self.clock.advance(timedelta(seconds=RETRY_SECONDS * 2))

    def drive(self, service: Callable[[], Process] | None = None) -> None:
        """Go on until nothing moves by itself; every round asks for the process that lives then."""
        for _ in range(_ROUNDS):
            self.round(service() if service else None)
            if not any(self._goes_on(ticket) for ticket in self.store.open_tickets()):
                return self.round(service() if service else None)  # for what a failed step left behind
        raise AssertionError(f"after {_ROUNDS} rounds: {[ticket.state for ticket in self.store.open_tickets()]}")

    def _goes_on(self, ticket: Ticket) -> bool:
        if ticket.state is TicketState.ON_HOLD:
            return ticket.ticket_id not in self.store.held_counts(ticket.lineage)
        return ticket.state in _OPEN_BY_ITSELF

    def wait_for_jobs(self) -> None:
        """Wait until every job of an active run has ended."""
        for run in self.store.active_runs():
            self.runner.cancel(run.job_name)

    # What can be seen from outside

    def ticket(self, ticket: Ticket) -> Ticket:
        """Return a ticket as it is now."""
        found = self.store.ticket(ticket.ticket_id)
        assert found is not None, "an acknowledged ticket is lost"
        return found

    def run(self, ticket: Ticket) -> UnlearningRun:
        """Return the run of a ticket as it is now."""
        run = self.store.run(self.ticket(ticket).run_id or "")
        assert run is not None
        return run

    def releases(self, lineage: str = LINEAGE) -> list[Release]:
        """Return the releases, oldest first."""
        return list(reversed(self.store.releases(lineage)))

    def pointer(self, lineage: str = LINEAGE) -> dict[str, object]:
        """Return what readers are pointed to."""
        pointer: dict[str, object] = json.loads(self.objects.read(pointer_key(lineage)))
        return pointer

    def ledger(self) -> Sequence[LedgerEntry]:
        """Return the whole ledger, its chain verified."""
        entries = list(self.store.ledger())
        assert verify_chain(entries) == len(entries)
        return entries

    def executions(self) -> Counter[tuple[str, int]]:
        """Return how often each attempt was executed."""
        return Counter((order.run_id, order.epoch) for order in self.orders)
