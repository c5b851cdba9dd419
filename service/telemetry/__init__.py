"""What the service says about itself: metrics and logs."""

from service.telemetry.exposition import MetricsServer, serve_metrics
from service.telemetry.logs import configure_logging
from service.telemetry.metrics import Metrics
from service.telemetry.store_collector import StoreCollector

__all__ = ["Metrics", "MetricsServer", "StoreCollector", "configure_logging", "serve_metrics"]
