"""Metrics that are observed directly, and the server that shows them."""

import math
import socket
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from mcu_core.report import AlignmentGaps, AucEstimate, Estimate, MembershipAttack, ModelMeasurements, ModelName
from service.domain.run import FailureKind, RunPhase
from service.telemetry import Metrics, serve_metrics


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


def _candidate(low: float | None) -> ModelMeasurements:
    rate = Estimate(value=0.9, low=0.8, high=1.0, count=10, method="clopper-pearson")
    return ModelMeasurements(
        name=ModelName.MCU_BETA,
        digest="a" * 64,
        unlearning_accuracy=rate,
        retain_accuracy=rate,
        test_accuracy=rate,
        auc=AucEstimate(value=0.52, low=low, high=0.6, p_value=0.4, forget_count=5, nonmember_count=5, method="m"),
        tails=(),
        membership=MembershipAttack(nonmember_share=0.5, sealed_nonmember_share=0.5, gap=0.0, training_count=10),
        gaps=AlignmentGaps(forget=0.01, retain=0.02, mean=0.015),
        seconds=1.0,
    )


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
    metrics.candidate_audited("digits", _candidate(0.45))

    assert registry.get_sample_value("unlearn_audit_auc", {"lineage": "digits", "bound": "value"}) == 0.52
    assert registry.get_sample_value("unlearn_audit_auc", {"lineage": "digits", "bound": "low"}) == 0.45
    assert registry.get_sample_value("unlearn_audit_gap", {"lineage": "digits", "set": "retain"}) == 0.02


def test_a_bound_that_was_not_estimated_does_not_keep_its_old_value(
    registry: CollectorRegistry, metrics: Metrics
) -> None:
    metrics.candidate_audited("digits", _candidate(0.45))
    metrics.candidate_audited("digits", _candidate(None))
    low = registry.get_sample_value("unlearn_audit_auc", {"lineage": "digits", "bound": "low"})

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
