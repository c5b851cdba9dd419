"""What attempts have written, read for callers."""

from collections.abc import Callable
from typing import Literal

from pydantic import ValidationError

from mcu_core.report import AuditReport
from service.domain.release import report_key
from service.domain.run import ProgressSnapshot, UnlearningRun, attempt_prefix
from service.errors import DigestMismatchError, ObjectMissingError, UnknownReportError
from service.ports import ObjectStore


def report_of(
    objects: ObjectStore, run: UnlearningRun, suffix: Literal["json", "html"], render: Callable[[AuditReport], bytes]
) -> bytes:
    """Return a run's report: the published one, or that of its newest audited attempt.

    Raises:
        UnknownReportError: nothing was audited yet.
    """
    published = objects.head(report_key(run.lineage, run.run_id, suffix))
    if published is not None:
        return objects.read(published.key)
    if not run.attempts:
        raise UnknownReportError("the run has no report yet", run_id=run.run_id)
    data = objects.read(f"{attempt_prefix(run.run_id, run.attempts[-1].attempt)}/report.json")
    return data if suffix == "json" else render(AuditReport.model_validate_json(data))


def read_progress(objects: ObjectStore, run: UnlearningRun) -> ProgressSnapshot | None:
    """Return how far the active attempt of a run is, where that is known."""
    try:
        data = objects.read(f"{attempt_prefix(run.run_id, run.epoch)}/progress.json")
        return ProgressSnapshot.model_validate_json(data)
    except (ObjectMissingError, DigestMismatchError, ValidationError):
        return None  # not written yet, caught between two writes, or of another version: nothing depends on it
