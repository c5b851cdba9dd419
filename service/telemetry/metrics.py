"""Metrics that processes observe themselves. Label values come from enums and lineages, never from ids."""

import math
import platform
from collections.abc import Iterable
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from mcu_core.report import AuditReport
from service.domain.run import CLOSED_PHASES, FailureKind, RunPhase

NO_REASON = "none"
"""Value of a `reason` label where nothing went wrong."""

RPC_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""From a read of the store to the resolution of 50 000 ids."""
PHASE_BUCKETS_SECONDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 12 * 3600.0, 24 * 3600.0)
"""From the smallest demo to exact retraining."""

_RPC_LABELS = ("grpc_type", "grpc_service", "grpc_method")


class Metrics:
    """Counters, gauges and histograms of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Make every metric in the registry; what has a known set of label values begins at 0."""
        self._rpc_started = Counter("grpc_server_started", "Calls begun.", _RPC_LABELS, registry=registry)
        self._rpc_handled = Counter(
            "grpc_server_handled", "Calls ended, by status.", (*_RPC_LABELS, "grpc_code"), registry=registry
        )
        self._rpc_seconds = Histogram(
            "grpc_server_handling_seconds",
            "Time from a call's begin to its end; of a stream, of the whole stream.",
            _RPC_LABELS,
            buckets=RPC_BUCKETS_SECONDS,
            registry=registry,
        )
        self._phase_seconds = Histogram(
            "unlearn_run_phase_duration_seconds",
            "Time that runs spent in a phase.",
            ("phase",),
            buckets=PHASE_BUCKETS_SECONDS,
            registry=registry,
        )
        # Not `unlearn_runs_total`: in OpenMetrics its family would bear the name of the gauge `unlearn_runs`.
        self._runs_closed = Counter(
            "unlearn_runs_closed", "Runs ended, by result and reason.", ("result", "reason"), registry=registry
        )
        self._publish_conflicts = Counter(
            "unlearn_publish_conflicts", "Publications that met somebody else's.", registry=registry
        )
        self._ledger_failures = Counter(
            "unlearn_ledger_verify_failures", "Verifications that found the ledger broken.", registry=registry
        )
        self._audit_auc = Gauge(
            "unlearn_audit_auc",
            "AUC of the latest audited candidate and its interval; 0.5 is honest, NaN was not estimated.",
            ("lineage", "bound"),
            registry=registry,
        )
        self._audit_gap = Gauge(
            "unlearn_audit_gap",
            "Alignment gap of the latest audited candidate.",
            ("lineage", "set"),
            registry=registry,
        )
        self._control_power = Gauge(
            "unlearn_audit_positive_control_power",
            "Chance that the latest audit's primary tests see the original model's own trace.",
            ("lineage",),
            registry=registry,
        )
        Info("unlearn_build", "What is running.", registry=registry).info(
            {"version": version("unlearning-service"), "python": platform.python_version()}
        )
        self._begin_at_zero()

    def expect_call(self, kind: str, service: str, method: str, codes: Iterable[str]) -> None:
        """Let a method's series begin at 0, so that the first error is seen as a rise."""
        self._rpc_started.labels(kind, service, method)
        self._rpc_seconds.labels(kind, service, method)
        for code in codes:
            self._rpc_handled.labels(kind, service, method, code)

    def call_started(self, kind: str, service: str, method: str) -> None:
        """Count a call that begins."""
        self._rpc_started.labels(kind, service, method).inc()

    def call_handled(self, kind: str, service: str, method: str, *, code: str, seconds: float) -> None:
        """Count a call that ended."""
        self._rpc_handled.labels(kind, service, method, code).inc()
        self._rpc_seconds.labels(kind, service, method).observe(seconds)

    def phase_ended(self, phase: RunPhase, seconds: float) -> None:
        """Record how long a run was in a phase that it has left."""
        self._phase_seconds.labels(phase.value).observe(seconds)

    def run_closed(self, result: RunPhase, failure: FailureKind | None = None) -> None:
        """Count a run that was closed, with the kind of failure that closed it."""
        self._runs_closed.labels(result.value, NO_REASON if failure is None else failure.value).inc()

    def candidate_audited(self, report: AuditReport) -> None:
        """Show what the audit measured of a lineage's latest candidate, and what it could have seen."""
        lineage, candidate = report.subjects.lineage, report.evidence.models[-1]
        auc = report.evidence.primary[0]
        for bound, value in (("value", auc.value), ("low", auc.low), ("high", auc.high)):
            self._audit_auc.labels(lineage, bound).set(math.nan if value is None else value)
        for part, gap in (("forget", candidate.forget_gap), ("retain", candidate.retain_gap)):
            self._audit_gap.labels(lineage, part).set(gap)
        self._control_power.labels(lineage).set(report.judgement.positive_control_power)

    def publish_conflict(self) -> None:
        """Count a publication that met somebody else's."""
        self._publish_conflicts.inc()

    def ledger_verification_failed(self) -> None:
        """Count a verification that found the ledger broken."""
        self._ledger_failures.inc()

    def _begin_at_zero(self) -> None:
        for phase in RunPhase:
            if phase not in CLOSED_PHASES:
                self._phase_seconds.labels(phase.value)
        for result in CLOSED_PHASES - {RunPhase.FAILED}:
            self._runs_closed.labels(result.value, NO_REASON)
        for failure in FailureKind:
            self._runs_closed.labels(RunPhase.FAILED.value, failure.value)
