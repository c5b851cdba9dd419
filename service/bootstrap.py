"""Composition root: settings in, a running service out. Adapters are built here and nowhere else."""

import json
import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from io import TextIOWrapper

from prometheus_client import CollectorRegistry

from service import report_page, resolution_file
from service.adapters.clock import SystemClock
from service.adapters.directory_objects import DirectoryObjectStore
from service.adapters.local_jobs import LocalJobRunner
from service.adapters.manifest_files import DuckDBManifestSource
from service.adapters.s3_objects import connect_s3
from service.adapters.sql_store import connect_store, sqlite_url
from service.adapters.weights_header import check_weights
from service.batching import Batcher
from service.data_directory import (
    DATABASE,
    claim_data_dir,
    load_commitment_key,
    load_policy,
    load_signer,
)
from service.domain.commitment import CommitmentKey
from service.domain.drift import DriftBudget
from service.domain.resolution import Resolution
from service.domain.run import UnlearningRun, resolution_key
from service.errors import FieldViolation, InvalidRequestError
from service.examination import Examiner
from service.held_samples import HeldSamples
from service.holding import HoldOffice
from service.intake import Intake
from service.ledger_keeping import LedgerKeeper
from service.pixel_files import PixelCache
from service.planning import Planner
from service.ports import Clock, ManifestSource, ObjectStore, Store
from service.publishing import Publisher
from service.receipts import ReceiptOffice
from service.recomputation import recompute
from service.reconciler import Chore, Reconciler
from service.references import ReferenceRegister
from service.registration import Registry
from service.release_desk import ReleaseDesk
from service.release_keeping import ReleaseKeeper
from service.rpc.server import RpcServer, build_server
from service.selecting import Selector
from service.settings import ObjectStoreKind, Settings
from service.steering import RunSteering
from service.telemetry import Metrics, MetricsServer, StoreCollector, configure_logging, serve_metrics
from service.transitions import Transitions
from service.uploads import UploadOffice
from service.workflow import Workflow

CONTROLLER = "controller"
"""Actor of what the service does by itself, in the ledger."""
OPERATOR = "operator"
"""Actor of a command that works on the data directory itself."""


SWEEP_UPLOADS_EVERY = timedelta(minutes=10)
"""So much longer than promised an upload may be kept."""
KEEP_LEDGER_EVERY = timedelta(seconds=5)
"""A round asks the object store once, and verifies up to a thousand entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A whole service in one process."""

    settings: Settings
    store: Store
    reconciler: Reconciler
    server: RpcServer
    metrics_server: MetricsServer
    claim: TextIOWrapper
    """Open and locked while the service runs."""

    @property
    def address(self) -> str:
        """Return where gRPC listens."""
        return f"{_in_address(self.settings.host)}:{self.server.port}"

    @property
    def metrics_url(self) -> str:
        """Return where the metrics are."""
        return f"http://{_in_address(self.settings.host)}:{self.metrics_server.port}/metrics"

    def start(self) -> None:
        """Serve and reconcile; `endpoint.json` in the data directory says where."""
        self.server.start()
        self.reconciler.start()
        endpoint = self.settings.data_dir / "endpoint.json"
        partial = endpoint.with_suffix(".partial")
        partial.write_text(json.dumps({"grpc": self.address, "metrics": self.metrics_url}), encoding="utf-8")
        partial.replace(endpoint)

    def stop(self) -> None:
        """Drain: calls end with grace, the step at hand is finished, running jobs go on by themselves."""
        self.server.drain()
        self.reconciler.stop(self.settings.drain_seconds)
        self.metrics_server.close()
        self.store.close()
        self.claim.close()


def build_service(settings: Settings) -> Service:
    """Build the embedded service: store, objects, jobs, reconciler and gRPC in one process.

    Raises:
        ServiceRunningError: another service works on this data directory.
        InvalidRequestError: the policy file or the commitment key cannot be used.
        SignatureError: the signing key cannot be used.
        StoreUnavailableError: the database cannot be reached.
        UnsafeObjectStoreError: the object store ignores conditional writes.
        CannotListenError: the address cannot be listened on.
    """
    configure_logging(json=settings.json_logs)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    claim = claim_data_dir(settings.data_dir)
    clock = SystemClock()
    key = load_commitment_key(settings)
    store = connect_store(settings.database_url or sqlite_url(settings.data_dir.absolute() / DATABASE))
    objects = build_objects(settings)
    manifests = DuckDBManifestSource(objects, settings.caches / "manifests")
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    registry.register(StoreCollector(store, clock, drift_budget(settings)))
    workflow = build_workflow(
        settings, store=store, objects=objects, manifests=manifests, clock=clock, key=key, metrics=metrics
    )
    uploads = UploadOffice(
        store=store,
        clock=clock,
        key=key,
        most_ids=settings.max_upload_ids,
        keep=timedelta(hours=settings.upload_keep_hours),
    )
    keeper = LedgerKeeper(
        store=store,
        objects=objects,
        clock=clock,
        signer=load_signer(settings),
        observer=metrics,
        checkpoint_entries=settings.checkpoint_entries,
        checkpoint_after=timedelta(seconds=settings.checkpoint_seconds),
    )
    intake = Intake(
        store=store,
        objects=objects,
        manifests=manifests,
        clock=clock,
        key=key,
        registry=Registry(store=store, objects=objects, manifests=manifests, clock=clock, check_weights=check_weights),
        selector=Selector(manifests=manifests, key=key, uploads=uploads),
        receipts=ReceiptOffice(store=store, manifests=manifests, clock=clock, key=key, signer=load_signer(settings)),
        holding=HoldOffice(store=store, manifests=manifests, clock=clock, key=key),
        steering=RunSteering(store=store, objects=objects, clock=clock),
        desk=ReleaseDesk(
            store=store, objects=objects, clock=clock, rollback_window=timedelta(days=settings.rollback_days)
        ),
        render=report_page.render,
    )
    return Service(
        settings=settings,
        store=store,
        reconciler=Reconciler(
            workflow=workflow,
            interval_seconds=settings.reconcile_interval_seconds,
            chores=(
                Chore(name="ledger", do=keeper.tend, every=KEEP_LEDGER_EVERY),
                Chore(name="uploads", do=uploads.sweep, every=SWEEP_UPLOADS_EVERY),
            ),
        ),
        server=build_server(intake, settings, metrics, clock),
        metrics_server=serve_metrics(registry, settings.host, settings.metrics_port),
        claim=claim,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTools:
    """What a command on the data of a service works with, beside it or without it."""

    store: Store
    objects: ObjectStore
    manifests: ManifestSource
    key: CommitmentKey
    register: ReferenceRegister
    pixels: PixelCache


def build_local_tools(settings: Settings) -> LocalTools:
    """Open the store and the objects of a service, running or not.

    Raises:
        InvalidRequestError: no service has ever worked there: that would be a new one, with a new key.
        StoreUnavailableError: the database cannot be reached.
        UnsafeObjectStoreError: the object store ignores conditional writes.
    """
    database = settings.data_dir.absolute() / DATABASE
    if settings.database_url is None and not database.exists():
        text = f"{settings.data_dir} has no {DATABASE}: give UNLEARN_DATA_DIR or UNLEARN_DATABASE_URL as the service's"
        raise InvalidRequestError(FieldViolation(field="data_dir", description=text))
    store = connect_store(settings.database_url or sqlite_url(database))
    objects = build_objects(settings)
    return LocalTools(
        store=store,
        objects=objects,
        manifests=DuckDBManifestSource(objects, settings.caches / "manifests"),
        key=load_commitment_key(settings),
        register=build_register(settings, store, objects, SystemClock(), OPERATOR),
        pixels=build_pixels(settings),
    )


def build_register(
    settings: Settings, store: Store, objects: ObjectStore, clock: Clock, actor: str
) -> ReferenceRegister:
    """Build the register of leave-out models."""
    return ReferenceRegister(
        store=store,
        objects=objects,
        clock=clock,
        purge_after=timedelta(days=settings.reference_purge_days),
        actor=actor,
    )


def build_workflow(
    settings: Settings,
    *,
    store: Store,
    objects: ObjectStore,
    manifests: ManifestSource,
    clock: Clock,
    key: CommitmentKey,
    metrics: Metrics,
) -> Workflow:
    """Build what moves tickets and runs."""
    signer = load_signer(settings)

    def resolution(run: UnlearningRun) -> Resolution:
        return resolution_file.decode(objects.read(resolution_key(run.run_id)))

    held = HeldSamples(store=store, manifests=manifests, clock=clock, resolution=resolution, actor=CONTROLLER)
    references, runner = build_register(settings, store, objects, clock, CONTROLLER), build_runner(settings)
    return Workflow(
        store=store,
        objects=objects,
        manifests=manifests,
        runner=runner,
        clock=clock,
        key=key,
        batcher=Batcher(
            store=store,
            manifests=manifests,
            clock=clock,
            policy=load_policy(settings),
            references=references,
            held=held,
            max_forget_fraction=settings.max_forget_fraction,
            canaries_per_run=settings.canaries_per_run,
            drift_budget=drift_budget(settings),
            actor=CONTROLLER,
        ),
        planner=Planner(
            store=store,
            objects=objects,
            manifests=manifests,
            clock=clock,
            key=key,
            signer=signer,
            references=references,
            forget_rows=lambda run: resolution(run).forget,
        ),
        examiner=Examiner(objects=objects, recompute=recompute),
        publisher=Publisher(
            store=store,
            objects=objects,
            clock=clock,
            render=report_page.render,
            forget_rows=lambda run: resolution(run).unlearned,
            signer=signer,
            held=held,
        ),
        transitions=Transitions(
            store=store,
            objects=objects,
            runner=runner,
            pixels=build_pixels(settings),
            clock=clock,
            observer=metrics,
            attempt_failures=settings.attempt_failures,
            retry_seconds=settings.retry_seconds,
            actor=CONTROLLER,
        ),
        references=references,
        held=held,
        keeper=ReleaseKeeper(
            store=store,
            objects=objects,
            clock=clock,
            rollback_window=timedelta(days=settings.rollback_days),
            actor=CONTROLLER,
        ),
        observer=metrics,
        encode_resolution=resolution_file.encode,
        actor=CONTROLLER,
    )


def drift_budget(settings: Settings) -> DriftBudget:
    """Return how much may happen to a lineage before it must be trained in full again."""
    return DriftBudget(runs=settings.drift_runs, forget_share=settings.drift_forget_share)


def build_runner(settings: Settings) -> LocalJobRunner:
    """Build the runner of local jobs; a job gets this process's environment and the place of the objects."""
    places = {"UNLEARN_DATA_DIR": str(settings.data_dir.absolute()), "UNLEARN_CACHE_DIR": str(settings.caches)}
    env = os.environ | places
    return LocalJobRunner(settings.data_dir / "jobs", [sys.executable, "-m", "service", "work"], env)


def build_pixels(settings: Settings) -> PixelCache:
    """Build what keeps decoded images, for the jobs that write and the workflow that erases."""
    return PixelCache(root=settings.caches / "decoded")


def build_objects(settings: Settings) -> ObjectStore:
    """Build the object store that the settings name.

    Raises:
        UnsafeObjectStoreError: it ignores conditional writes.
        ObjectStoreUnavailableError: it cannot be reached.
    """
    if settings.object_store is ObjectStoreKind.DIRECTORY:
        return DirectoryObjectStore(settings.data_dir.absolute() / "objects")
    store = connect_s3(settings)
    store.probe()
    return store


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host
