"""Domain values to responses."""

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from mcu_core.config import RetrainConfig
from mcu_core.report import AttemptSummary
from service.domain.deadline import sla_state
from service.domain.model import Model
from service.domain.release import Release
from service.domain.run import ProgressSnapshot, UnlearningRun
from service.domain.run_query import RunQuery
from service.domain.submission import TicketPreview
from service.domain.ticket import Ticket
from service.domain.ticket_query import TicketQuery
from service.pb.unlearning.v1 import (
    deletion_service_pb2,
    model_pb2,
    model_service_pb2,
    run_pb2,
    run_service_pb2,
    ticket_pb2,
)
from service.rpc.convert.cursors import release_token, run_token, ticket_token
from service.rpc.convert.enums import (
    CLAIMS,
    REGIMES,
    RUN_PHASES,
    RUNG_KINDS,
    SAMPLE_SOURCES,
    SCHEDULES,
    SLA_STATES,
    TICKET_STATES,
    VERDICTS,
)

_MAX_DURATION_SECONDS = 10 * 365 * 86_400.0
"""What a worker writes of its progress (ten years at most) is clipped before it could overflow a field."""


def ticket(record: Ticket, now: datetime) -> ticket_pb2.Ticket:
    """Return a ticket as callers see it at this time."""
    return ticket_pb2.Ticket(
        ticket_id=record.ticket_id,
        lineage=record.lineage,
        request_id=record.request_id,
        source=SAMPLE_SOURCES[record.source],
        sample_count=record.sample_count,
        ids_commitment=record.ids_commitment,
        regime=REGIMES[record.regime],
        receive_time=timestamp(record.received_at),
        due_time=timestamp(record.due_at),
        close_time=optional_timestamp(record.closed_at),
        state=TICKET_STATES[record.state],
        sla_state=SLA_STATES[sla_state(record.received_at, record.due_at, record.closed_at, now)],
        reasons=[ticket_pb2.TicketReason(code=reason.code, text=reason.text) for reason in record.reasons],
        run_id=record.run_id or "",
        release_number=record.release_number or 0,
        etag=ticket_etag(record),
    )


def ticket_etag(record: Ticket) -> str:
    """Return what changes whenever the ticket does."""
    return make_etag("ticket", record.ticket_id, record.version)


def preview(record: TicketPreview) -> ticket_pb2.TicketPreview:
    """Return what would come of a submission."""
    return ticket_pb2.TicketPreview(
        sample_count=record.sample_count,
        already_forgotten_count=record.already_forgotten,
        due_time=timestamp(record.due_at),
        claim=record.claim,
    )


def ticket_page(found: Sequence[Ticket], query: TicketQuery, now: datetime) -> deletion_service_pb2.ListTicketsResponse:
    """Return a page of what a query found; the query asked for one more than the page has."""
    page = found[: query.limit - 1]
    return deletion_service_pb2.ListTicketsResponse(
        tickets=[ticket(record, now) for record in page],
        next_page_token=ticket_token(page[-1], query) if len(found) > len(page) else "",
    )


def model(record: Model) -> model_pb2.Model:
    """Return a lineage."""
    return model_pb2.Model(
        lineage=record.lineage,
        architecture=model_pb2.Architecture(
            name=record.architecture.name,
            classes=record.architecture.classes,
            channels=record.architecture.channels,
            image_size=record.architecture.image_size,
            mean=record.architecture.mean,
            std=record.architecture.std,
        ),
        manifest=model_pb2.Manifest(
            sha256=record.manifest.digest,
            row_count=record.manifest.rows,
            train_row_count=record.manifest.train_rows,
            heldout_row_count=record.manifest.heldout_rows,
        ),
        weights_sha256=record.weights_digest,
        recipe=None if record.recipe is None else _recipe(record.recipe),
        baseline_train_accuracy=record.baseline_train_accuracy,
        register_time=timestamp(record.registered_at),
        current_release_number=record.current_release,
        run_count=record.runs_started,
        etag=make_etag("model", record.lineage, record.version),
        canary_commitment=record.canary_commitment or "",
        require_acknowledgement=record.requires_acknowledgement,
    )


def release_page(
    found: Sequence[Release], *, size: int, after: int | None, tenant: str, locate: Callable[[Release], str]
) -> model_service_pb2.ListReleasesResponse:
    """Return a page of a lineage's releases, newest first."""
    left = [record for record in found if after is None or record.number < after]
    page = left[:size]
    return model_service_pb2.ListReleasesResponse(
        releases=[release(record, locate(record)) for record in page],
        next_page_token=release_token(page[-1], tenant) if len(left) > len(page) else "",
    )


def report(content: bytes, suffix: Literal["json", "html"], location: str) -> model_service_pb2.GetReportResponse:
    """Return a report document."""
    is_json = suffix == "json"
    return model_service_pb2.GetReportResponse(
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        format=model_service_pb2.REPORT_FORMAT_JSON if is_json else model_service_pb2.REPORT_FORMAT_HTML,
        location=location,
    )


def run(record: UnlearningRun) -> run_pb2.Run:
    """Return a run."""
    return run_pb2.Run(
        run_id=record.run_id,
        lineage=record.lineage,
        sequence=record.spec.sequence,
        phase=RUN_PHASES[record.phase],
        phase_start_time=timestamp(record.phase_since),
        ladder=[RUNG_KINDS[rung.kind] for rung in record.spec.config.ladder],
        rung_index=record.rung_index,
        attempt=record.epoch,
        audited_attempts=[_audited_attempt(attempt) for attempt in record.attempts],
        verdict=run_pb2.VERDICT_UNSPECIFIED if record.verdict is None else VERDICTS[record.verdict],
        reason=record.reason,
        ticket_ids=record.ticket_ids,
        forget_count=record.spec.forget_count,
        base_release_number=record.spec.base_release,
        base_weights_sha256=record.spec.base_model_digest,
        manifest_sha256=record.spec.manifest_digest,
        spec_sha256=record.spec.digest,
        candidate_sha256=record.candidate_digest or "",
        report_sha256=record.report_digest or "",
        create_time=timestamp(record.created_at),
        close_time=optional_timestamp(record.closed_at),
        retry_time=optional_timestamp(record.retry_at),
        failure_count=record.failures,
        etag=run_etag(record),
    )


def run_etag(record: UnlearningRun) -> str:
    """Return what changes whenever the run does."""
    return make_etag("run", record.run_id, record.version)


def run_page(found: Sequence[UnlearningRun], query: RunQuery) -> run_service_pb2.ListRunsResponse:
    """Return a page of what a query found; the query asked for one more than the page has."""
    page = found[: query.limit - 1]
    return run_service_pb2.ListRunsResponse(
        runs=[run(record) for record in page],
        next_page_token=run_token(page[-1], query) if len(found) > len(page) else "",
    )


def progress(record: UnlearningRun, snapshot: ProgressSnapshot | None) -> run_pb2.RunProgress | None:
    """Return how far an active run's present attempt is; `None` once the run is closed."""
    if not record.is_active:
        return None
    rung = record.spec.config.ladder[record.rung_index]
    message = run_pb2.RunProgress(
        run_id=record.run_id,
        rung_index=record.rung_index,
        rung_kind=RUNG_KINDS[rung.kind],
        attempt=record.epoch,
        phase=RUN_PHASES[record.phase],
    )
    if snapshot is not None:
        message.activity = snapshot.phase
        message.epoch = snapshot.epoch
        message.epoch_count = snapshot.epochs
        message.step = snapshot.step
        message.step_count = snapshot.steps
        message.elapsed.CopyFrom(_duration(snapshot.seconds))
        if snapshot.seconds_left is not None:
            message.remaining.CopyFrom(_duration(snapshot.seconds_left))
    return message


def release(record: Release, location: str) -> model_pb2.Release:
    """Return a release."""
    return model_pb2.Release(
        lineage=record.lineage,
        release_number=record.number,
        weights_sha256=record.weights_digest,
        report_sha256=record.report_digest or "",
        run_id=record.run_id or "",
        ticket_ids=record.ticket_ids,
        forget_count=record.forget_count,
        publish_time=timestamp(record.created_at),
        location=location,
    )


def _recipe(recipe: RetrainConfig) -> model_pb2.TrainingRecipe:
    return model_pb2.TrainingRecipe(
        epochs=recipe.train.epochs,
        learning_rate=recipe.train.learning_rate,
        momentum=recipe.train.momentum,
        weight_decay=recipe.train.weight_decay,
        batch_size=recipe.train.batch_size,
        schedule=SCHEDULES[recipe.train.schedule],
        stop_at_train_accuracy=recipe.stop_at_train_accuracy,
    )


def _audited_attempt(attempt: AttemptSummary) -> run_pb2.AuditedAttempt:
    return run_pb2.AuditedAttempt(
        attempt=attempt.attempt,
        rung_index=attempt.rung,
        rung_kind=RUNG_KINDS.get(attempt.rung_kind, run_pb2.RUNG_KIND_UNSPECIFIED),
        verdict=VERDICTS[attempt.verdict],
        report_sha256=attempt.report_digest,
        claim=CLAIMS[attempt.claim],
        plan_sha256=attempt.plan_digest,
    )


def make_etag(kind: str, key: str, version: int) -> str:
    """Return what changes whenever a record does."""
    return hashlib.sha256(f"{kind}/{key}/{version}".encode()).hexdigest()[:16]


def timestamp(at: datetime) -> Timestamp:
    """Return a time as a message."""
    message = Timestamp()
    message.FromDatetime(at)
    return message


def optional_timestamp(at: datetime | None) -> Timestamp | None:
    """Return a time as a message, absent where there is none."""
    return None if at is None else timestamp(at)


def _duration(seconds: float) -> Duration:
    message = Duration()
    message.FromTimedelta(timedelta(seconds=min(max(seconds, 0.0), _MAX_DURATION_SECONDS)))
    return message
