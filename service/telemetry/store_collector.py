"""Metrics that the store knows: read at each scrape, so that they survive a restart and no replica counts twice."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Protocol

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mcu_core.report import Claim, Verdict
from service.domain.deadline import Regime, is_at_risk, percentile_95
from service.domain.drift import DriftBudget
from service.domain.run import RunPhase
from service.domain.ticket import TERMINAL_STATES, IdSource, TicketState
from service.errors import ServiceError
from service.ports import Clock
from service.store_totals import StoreTotals
from service.telemetry.metrics import NO_REASON

_DAY = 86_400.0
COMPLETION_BUCKETS_SECONDS = (
    *(60.0, 600.0, 3600.0, 6 * 3600.0, _DAY, 3 * _DAY, 7 * _DAY, 14 * _DAY, 21 * _DAY, 28 * _DAY, 30 * _DAY),
    *(45 * _DAY, 60 * _DAY, 90 * _DAY),
)
"""From a demo to an extended statutory period; 28, 30 and 45 days are where one ends."""

Samples = Iterable[tuple[tuple[str, ...], float]]
"""Values with those of their labels."""

_log = structlog.get_logger()


class CountsTickets(Protocol):
    """The one thing that is needed of `service.ports.Store`."""

    def totals(self) -> StoreTotals:
        """Return the counts that the metrics show."""
        ...


class StoreCollector(Collector):
    """Turns the store's totals into metrics. When the store is away, a scrape says just that: `unlearn_store_up` 0."""

    def __init__(self, store: CountsTickets, clock: Clock, budget: DriftBudget) -> None:
        self._store = store
        self._clock = clock
        self._budget = budget

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they are now."""
        now = self._clock.now()
        try:
            totals = self._store.totals()
        except ServiceError as error:
            _log.warning("store cannot be read for metrics", error=type(error).__name__, detail=error.message)
            yield _gauge("unlearn_store_up", "Whether the store answered this scrape.", 0.0)
            return
        yield _gauge("unlearn_store_up", "Whether the store answered this scrape.", 1.0)
        yield from _ticket_counts(totals)
        yield from _deadlines(totals, now)
        yield from _ticket_times(totals, now)
        yield from _run_metrics(totals)
        yield _gauge("unlearn_holds_active", "Holds that are placed and not released.", totals.holds_active)
        yield from _release_metrics(totals, now)
        yield _gauges(
            "unlearn_drift_budget_used_ratio",
            "Share of what may happen to a lineage before it is trained in full again; from 1 on the next run does.",
            ("lineage",),
            (((lineage,), self._budget.used(drift)) for lineage, drift in totals.drift),
        )


def _ticket_counts(totals: StoreTotals) -> Iterator[Metric]:
    states = {(state.value,): 0 for state in TicketState} | {(state,): n for state, n in totals.tickets}
    yield _gauges("unlearn_tickets", "Tickets by state.", ("state",), states.items())
    submitted = {(regime.value, source.value): 0 for regime in Regime for source in IdSource}
    submitted |= {(regime, source): n for regime, source, n in totals.submitted}
    yield _counters("unlearn_tickets_submitted", "Tickets taken in.", ("regime", "source"), submitted.items())
    closed = {(state.value, NO_REASON): 0 for state in TERMINAL_STATES}
    closed |= {(outcome, reason): n for outcome, reason, n in totals.closed}
    yield _counters("unlearn_tickets_closed", "Tickets closed.", ("outcome", "reason"), closed.items())


def _deadlines(totals: StoreTotals, now: datetime) -> Iterator[Metric]:
    usual = timedelta(seconds=percentile_95(totals.completion_seconds))
    yield _gauge(
        "unlearn_tickets_at_risk",
        "Open tickets that will be overdue if they end as late as 1 in 20 tickets did.",
        sum(is_at_risk(due, now, usual) for due in totals.open_due),
    )
    overdue = sum(due < now for due in totals.open_due)
    yield _gauge("unlearn_tickets_overdue", "Open tickets whose due time has passed.", overdue)
    yield _gauges(
        "unlearn_ticket_min_due_seconds",
        "Time to the earliest due time of an open ticket, negative when past; absent without one.",
        (),
        [((), (due - now).total_seconds()) for due in totals.open_due[:1]],
    )


def _ticket_times(totals: StoreTotals, now: datetime) -> Iterator[Metric]:
    oldest = 0.0 if totals.oldest_open is None else (now - totals.oldest_open).total_seconds()
    yield _gauge("unlearn_ticket_oldest_open_age_seconds", "Age of the oldest open ticket; 0 without one.", oldest)
    yield _histogram(
        "unlearn_ticket_completion_seconds", "Time from receipt to success of a ticket.", totals.completion_seconds
    )


def _run_metrics(totals: StoreTotals) -> Iterator[Metric]:
    phases = {(phase.value,): 0 for phase in RunPhase} | {(phase,): n for phase, n in totals.runs}
    yield _gauges("unlearn_runs", "Runs by phase.", ("phase",), phases.items())
    last = {(lineage,): at.timestamp() for lineage, at in totals.last_success}
    yield _gauges(
        "unlearn_run_last_success_timestamp_seconds",
        "When a lineage's last run was published.",
        ("lineage",),
        last.items(),
    )
    verdicts = {(verdict.value, Claim.NOTHING.value): 0 for verdict in Verdict if not verdict.accepts}
    verdicts |= {(verdict, claim): n for verdict, claim, n in totals.verdicts}
    yield _counters(
        "unlearn_audit_verdicts",
        "Audited candidates by verdict and by what the audit claims.",
        ("verdict", "claim_level"),
        verdicts.items(),
    )
    forgotten = {(lineage,): n for lineage, n in totals.forgotten}
    yield _gauges(
        "unlearn_forget_set_samples",
        "Samples that a lineage has forgotten, canaries among them.",
        ("lineage",),
        forgotten.items(),
    )
    left = {(lineage,): n for lineage, n in totals.canaries_left}
    yield _gauges(
        "unlearn_canaries_left",
        "Canaries that a lineage was trained on and has not forgotten yet; absent where none were planted.",
        ("lineage",),
        left.items(),
    )


def _release_metrics(totals: StoreTotals, now: datetime) -> Iterator[Metric]:
    yield _gauge(
        "unlearn_purge_overdue",
        "Superseded releases whose weights should be gone, since they know deleted samples, and are not.",
        sum(at < now for at in totals.purges_open),
    )


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)


def _gauges(name: str, text: str, labels: tuple[str, ...], values: Samples) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def _counters(name: str, text: str, labels: tuple[str, ...], values: Samples) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def _histogram(name: str, text: str, values: Iterable[float]) -> HistogramMetricFamily:
    observed = tuple(values)
    counts = [0] * (len(COMPLETION_BUCKETS_SECONDS) + 1)
    for value in observed:
        counts[bisect_left(COMPLETION_BUCKETS_SECONDS, value)] += 1
    bounds = [*(str(bound) for bound in COMPLETION_BUCKETS_SECONDS), "+Inf"]
    buckets = list(zip(bounds, accumulate(counts), strict=True))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=sum(observed))
