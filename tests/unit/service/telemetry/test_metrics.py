"""Metrics that are observed directly, and the server that shows them."""

import math
import socket
import urllib.error
import urllib.request
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from mcu_core.report import AuditReport
from service.domain.run import FailureKind, RunPhase
from service.telemetry import Metrics, serve_metrics
from tests.attempts import report_of
from tests.records import SPEC, a_run, an_attempt, an_order_for

ORDER = an_order_for(replace(a_run(), epoch=2, attempts=(an_attempt(1),)))


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


def _report(low: float | None) -> AuditReport:
    report = report_of(ORDER)
    auc, *tails = report.evidence.primary
    primary = (auc.model_copy(update={"value": 0.52, "low": low}), *tails)
    return report.model_copy(update={"evidence": report.evidence.model_copy(update={"primary": primary})})


def test_known_label_values_begin_at_zero(registry: CollectorRegistry, metrics: Metrics) -> None:
    assert metrics
    for failure in FailureKind:
        labels = {"result": "failed", "reason": failure.value}
        assert registry.get_sample_value("unlearn_runs_closed_total", labels) == 0.0
    labels = {"phase": RunPhase.AUDITING.value}
    assert registry.get_sample_value("unlearn_run_phase_duration_seconds_count", labels) == 0.0
    assert registry.get_sample_value("unlearn_publish_conflicts_total") == 0.0
    assert registry.get_sample_value("unlearn_ledger_verify_failures_total") == 0.0


def test_what_happens_is_counted(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.run_closed(RunPhase.COMMITTED)
    metrics.run_closed(RunPhase.FAILED, FailureKind.QUALITY)
    metrics.phase_ended(RunPhase.UNLEARNING, 12.0)
    metrics.publish_conflict()
    metrics.ledger_verification_failed()

    expected = {"result": "committed", "reason": "none"}
    assert registry.get_sample_value("unlearn_runs_closed_total", expected) == 1.0
    expected = {"result": "failed", "reason": "quality"}
    assert registry.get_sample_value("unlearn_runs_closed_total", expected) == 1.0
    assert registry.get_sample_value("unlearn_run_phase_duration_seconds_sum", {"phase": "unlearning"}) == 12.0
    assert registry.get_sample_value("unlearn_publish_conflicts_total") == 1.0
    assert registry.get_sample_value("unlearn_ledger_verify_failures_total") == 1.0


def test_the_latest_audit_is_shown(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.candidate_audited(_report(0.45))

    assert registry.get_sample_value("unlearn_audit_auc", {"lineage": SPEC.lineage, "bound": "value"}) == 0.52
    assert registry.get_sample_value("unlearn_audit_auc", {"lineage": SPEC.lineage, "bound": "low"}) == 0.45
    assert registry.get_sample_value("unlearn_audit_gap", {"lineage": SPEC.lineage, "set": "retain"}) == (
        _report(0.45).evidence.models[-1].retain_gap
    )
    power = registry.get_sample_value("unlearn_audit_positive_control_power", {"lineage": SPEC.lineage})
    assert power == _report(0.45).judgement.positive_control_power


def test_a_bound_that_was_not_estimated_does_not_keep_its_old_value(
    registry: CollectorRegistry, metrics: Metrics
) -> None:
    metrics.candidate_audited(_report(0.45))
    metrics.candidate_audited(_report(None))
    low = registry.get_sample_value("unlearn_audit_auc", {"lineage": SPEC.lineage, "bound": "low"})

    assert low is not None
    assert math.isnan(low)


def test_the_server_shows_the_registry_until_it_is_closed(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.publish_conflict()
    server = serve_metrics(registry, "127.0.0.1", 0)
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
    )
    with urllib.request.urlopen(request) as response:
        text = response.read().decode()
        kind = response.headers["Content-Type"]
    server.close()

    assert kind.split(";")[0] == CONTENT_TYPE_LATEST.split(";")[0]
    families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call] # prometheus_client's, untyped
    assert "unlearn_publish_conflicts" in {family.name for family in families}
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(request)


def test_a_closed_server_gives_its_port_back(registry: CollectorRegistry) -> None:
    server = serve_metrics(registry, "127.0.0.1", 0)
    server.close()
    again = serve_metrics(registry, "127.0.0.1", server.port)
    again.close()

    assert again.port == server.port


def test_a_taken_port_is_an_error(registry: CollectorRegistry) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        serve_metrics(registry, "127.0.0.1", taken.getsockname()[1])
