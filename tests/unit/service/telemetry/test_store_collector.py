"""What a scrape reads from the store."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from service.adapters.memory import FrozenClock
from service.domain.drift import Drift, DriftBudget
from service.domain.run import RunPhase
from service.domain.ticket import TicketState
from service.errors import StoreUnavailableError
from service.store_totals import StoreTotals
from service.telemetry import Metrics, StoreCollector

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
EMPTY = StoreTotals(
    tickets=(),
    submitted=(),
    closed=(),
    runs=(),
    oldest_open=None,
    open_due=(),
    completion_seconds=(),
    last_success=(),
    verdicts=(),
    forgotten=(),
)
BUSY = StoreTotals(
    tickets=(("accepted", 2), ("succeeded", 3)),
    submitted=(("gdpr", "inline", 5),),
    closed=(("succeeded", "none", 3),),
    runs=(("committed", 1),),
    oldest_open=NOW - timedelta(hours=2),
    open_due=(NOW - timedelta(hours=1), NOW + timedelta(days=364), NOW + timedelta(days=366)),
    completion_seconds=(30.0, 60.0, 100.0, 86_400.0 * 365),
    last_success=(("digits", NOW),),
    verdicts=(("ACCEPT_POWERED", "EQUIVALENT_WITHIN", 1),),
    forgotten=(("digits", 42),),
    canaries_left=(("digits", 0), ("faces", 36)),
    holds_active=2,
    drift=(
        ("digits", Drift(runs=2, samples=15, train_rows=100)),
        ("faces", Drift(runs=12, samples=0, train_rows=100)),
    ),
    purges_open=(NOW - timedelta(days=1), NOW - timedelta(seconds=1), NOW + timedelta(days=1)),
)

BUDGET = DriftBudget(runs=10, forget_share=0.3)

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Totals:
    """A store as far as metrics look at it."""

    def __init__(self, totals: StoreTotals | None) -> None:
        self.value = totals

    def totals(self) -> StoreTotals:
        if self.value is None:
            raise StoreUnavailableError("the database is away")
        return self.value


def _registry(totals: StoreTotals | None) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(StoreCollector(Totals(totals), FrozenClock(NOW), BUDGET))
    return registry


def _scrape(totals: StoreTotals | None) -> Values:
    text = generate_latest(_registry(totals)).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _get(values: Values, name: str, **labels: str) -> float | None:
    return values.get((name, frozenset(labels.items())))


def test_counts_are_those_of_the_store() -> None:
    values = _scrape(BUSY)

    assert _get(values, "unlearn_store_up") == 1.0
    assert _get(values, "unlearn_tickets", state="accepted") == 2.0
    assert _get(values, "unlearn_tickets_submitted_total", regime="gdpr", source="inline") == 5.0
    assert _get(values, "unlearn_tickets_closed_total", outcome="succeeded", reason="none") == 3.0
    assert _get(values, "unlearn_tickets_overdue") == 1.0
    assert _get(values, "unlearn_tickets_at_risk") == 1.0, "the slowest of 4 tickets took 365 days"
    assert _get(values, "unlearn_runs", phase="committed") == 1.0
    assert (
        _get(values, "unlearn_audit_verdicts_total", verdict="ACCEPT_POWERED", claim_level="EQUIVALENT_WITHIN") == 1.0
    )
    assert _get(values, "unlearn_forget_set_samples", lineage="digits") == 42.0
    assert _get(values, "unlearn_canaries_left", lineage="digits") == 0.0, "it was planted, and is used up"
    assert _get(values, "unlearn_canaries_left", lineage="faces") == 36.0
    assert _get(values, "unlearn_holds_active") == 2.0
    assert _get(values, "unlearn_drift_budget_used_ratio", lineage="digits") == pytest.approx(0.5)
    assert _get(values, "unlearn_drift_budget_used_ratio", lineage="faces") == pytest.approx(1.2)
    assert _get(values, "unlearn_purge_overdue") == 2.0, "the third is kept until tomorrow"
    assert _get(values, "unlearn_run_last_success_timestamp_seconds", lineage="digits") == NOW.timestamp()


def test_times_are_relative_to_now() -> None:
    values = _scrape(BUSY)

    assert _get(values, "unlearn_ticket_oldest_open_age_seconds") == 7200.0
    assert _get(values, "unlearn_ticket_min_due_seconds") == -3600.0


def test_completions_fall_into_buckets() -> None:
    values = _scrape(BUSY)
    name = "unlearn_ticket_completion_seconds"

    assert _get(values, f"{name}_bucket", le="60.0") == 2.0, "a bound belongs to its bucket"
    assert _get(values, f"{name}_bucket", le="600.0") == 3.0
    assert _get(values, f"{name}_bucket", le="7776000.0") == 3.0
    assert _get(values, f"{name}_bucket", le="+Inf") == _get(values, f"{name}_count") == 4.0
    assert _get(values, f"{name}_sum") == sum(BUSY.completion_seconds)


@pytest.mark.parametrize("totals", [EMPTY, BUSY])
def test_every_value_of_an_enum_is_there(totals: StoreTotals) -> None:
    values = _scrape(totals)

    assert all(_get(values, "unlearn_tickets", state=state.value) is not None for state in TicketState)
    assert all(_get(values, "unlearn_runs", phase=phase.value) is not None for phase in RunPhase)
    assert _get(values, "unlearn_tickets_submitted_total", regime="ccpa", source="inline") == 0.0
    assert _get(values, "unlearn_tickets_closed_total", outcome="rejected", reason="none") == 0.0
    assert _get(values, "unlearn_audit_verdicts_total", verdict="VACUOUS", claim_level="NOTHING") == 0.0


def test_without_open_tickets_nothing_is_due() -> None:
    values = _scrape(EMPTY)

    assert _get(values, "unlearn_ticket_min_due_seconds") is None
    assert _get(values, "unlearn_tickets_at_risk") == 0.0
    assert _get(values, "unlearn_ticket_oldest_open_age_seconds") == 0.0


def test_a_store_that_is_away_is_seen_and_hides_nothing_else() -> None:
    registry = _registry(None)
    Metrics(registry)
    text = generate_latest(registry).decode()

    assert "unlearn_store_up 0.0" in text
    assert "unlearn_tickets" not in text
    assert "unlearn_build_info" in text


@pytest.mark.parametrize("totals", [EMPTY, BUSY, None])
def test_all_metrics_together_are_valid_openmetrics(totals: StoreTotals | None) -> None:
    registry = _registry(totals)
    Metrics(registry).expect_call("unary", "s", "m", ["OK"])
    text = generate_openmetrics(registry).decode()  # type: ignore[no-untyped-call] # prometheus_client's, untyped
    families = list(parse_openmetrics(text))  # type: ignore[no-untyped-call] # as above
    names = [family.name for family in families]

    assert len(set(names)) == len(names)
    assert all(family.documentation for family in families)


def test_a_later_scrape_reads_the_store_again() -> None:
    store = Totals(EMPTY)
    registry = CollectorRegistry()
    registry.register(StoreCollector(store, FrozenClock(NOW), BUDGET))
    generate_latest(registry)
    store.value = replace(EMPTY, open_due=(NOW - timedelta(seconds=1),) * 7)

    assert "unlearn_tickets_overdue 7.0" in generate_latest(registry).decode()
