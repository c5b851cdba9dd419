"""Requests to domain values; what breaks the contract is refused here, with every field that is wrong."""

from collections.abc import Iterator
from typing import Literal

from pydantic import ValidationError

from mcu_core.config import ArchitectureConfig, RetrainConfig, Schedule
from service.domain.canary import CanaryRegister
from service.domain.submission import Registration, Submission
from service.domain.ticket import TicketState
from service.domain.ticket_query import TicketQuery
from service.errors import EmptyForgetSetError, FieldViolation, InvalidRequestError
from service.pb.unlearning.v1 import deletion_service_pb2, model_pb2, model_service_pb2, sample_selection_pb2
from service.rpc.convert import selections
from service.rpc.convert.cursors import release_cursor, ticket_cursor
from service.rpc.convert.enums import REGIMES, SCHEDULES, TICKET_STATES
from service.rpc.errors import UnsupportedIdSourceError
from service.rpc.paging import page_size
from service.rpc.validation import (
    check_fraction,
    check_ids,
    check_lineage,
    check_request_id,
    check_sha256,
    check_text,
    refuse_if_any,
    violations_of,
)

MAX_KEY_CHARACTERS = 128
_REGIMES = {number: regime for regime, number in REGIMES.items()}
_TICKET_STATES = {number: state for state, number in TICKET_STATES.items()}
_SCHEDULES = {number: schedule for schedule, number in SCHEDULES.items()} | {
    model_pb2.LEARNING_RATE_SCHEDULE_UNSPECIFIED: Schedule.CONSTANT
}


def submission(request: deletion_service_pb2.SubmitTicketRequest) -> Submission:
    """Return what a caller wants forgotten.

    Raises:
        InvalidRequestError: the request breaks the contract.
        UnsupportedIdSourceError: the samples are named in a way that is not served.
        EmptyForgetSetError: no sample is named.
    """
    regime = _REGIMES.get(request.regime)
    refuse_if_any(
        check_request_id(request.request_id),
        check_lineage(request.lineage),
        () if regime else [FieldViolation(field="regime", description="must name a regime")],
        check_source(request.samples),
    )
    if request.samples.WhichOneof("source") != "inline":
        return Submission(
            lineage=request.lineage,
            request_id=request.request_id,
            sample_ids=(),
            regime=_REGIMES[request.regime],
            selection=selections.selection(request.samples),
        )
    sample_ids = inline_ids(request.samples)
    if not sample_ids:
        raise EmptyForgetSetError("the request names no sample")
    return Submission(
        lineage=request.lineage, request_id=request.request_id, sample_ids=sample_ids, regime=_REGIMES[request.regime]
    )


def ticket_query(request: deletion_service_pb2.ListTicketsRequest, *, tenant: str) -> TicketQuery:
    """Return which tickets to read: one more than the page has, to know whether another page follows.

    Raises:
        InvalidRequestError: the request breaks the contract.
    """
    states = [_TICKET_STATES.get(number) for number in request.states]
    refuse_if_any(
        check_lineage(request.lineage) if request.lineage else (),
        [
            FieldViolation(field=f"states[{position}]", description="must name a state")
            for position, state in enumerate(states)
            if state is None
        ],
    )
    size = page_size(request.page_size)
    lineage = request.lineage or None
    known: frozenset[TicketState] = frozenset(state for state in states if state is not None)
    first_page = TicketQuery(tenant=tenant, lineage=lineage, states=known, limit=size + 1)
    after = ticket_cursor(request.page_token, first_page)
    return TicketQuery(tenant=tenant, lineage=lineage, states=known, limit=size + 1, after=after)


def ticket_id(
    request: (
        deletion_service_pb2.GetTicketRequest
        | deletion_service_pb2.WatchTicketRequest
        | deletion_service_pb2.CancelTicketRequest
        | deletion_service_pb2.GetReceiptRequest
    ),
) -> str:
    """Return which ticket is meant; for a write, the request id is checked too.

    Raises:
        InvalidRequestError: the request breaks the contract.
    """
    refuse_if_any(
        check_text("ticket_id", request.ticket_id, MAX_KEY_CHARACTERS),
        check_request_id(request.request_id) if isinstance(request, deletion_service_pb2.CancelTicketRequest) else (),
    )
    return request.ticket_id


def run_id(value: str) -> str:
    """Return which run is meant.

    Raises:
        InvalidRequestError: it cannot be a run's id.
    """
    refuse_if_any(check_text("run_id", value, MAX_KEY_CHARACTERS))
    return value


def lineage(value: str) -> str:
    """Return which lineage is meant.

    Raises:
        InvalidRequestError: it cannot be a lineage's name.
    """
    refuse_if_any(check_lineage(value))
    return value


def report_suffix(request: model_service_pb2.GetReportRequest) -> Literal["json", "html"]:
    """Return which form of a report is wanted.

    Raises:
        InvalidRequestError: the form is unknown.
    """
    match request.format:
        case model_service_pb2.REPORT_FORMAT_HTML:
            return "html"
        case model_service_pb2.REPORT_FORMAT_JSON | model_service_pb2.REPORT_FORMAT_UNSPECIFIED:
            return "json"
        case _:
            raise InvalidRequestError(FieldViolation(field="format", description="must name a format"))


def releases_after(request: model_service_pb2.ListReleasesRequest, *, tenant: str) -> tuple[int, int | None]:
    """Return (page size, number of the release after which the page begins).

    Raises:
        InvalidRequestError: the request breaks the contract.
    """
    refuse_if_any(check_lineage(request.lineage))
    size = page_size(request.page_size)
    return size, release_cursor(request.page_token, request.lineage, tenant)


def registration(request: model_service_pb2.RegisterModelRequest) -> Registration:
    """Return the lineage that a caller wants registered.

    Raises:
        InvalidRequestError: the request breaks the contract.
    """
    architecture, architecture_violations = _architecture(request.architecture)
    recipe, recipe_violations = _recipe(request.recipe) if request.HasField("recipe") else (None, ())
    canaries, canary_violations = _canaries(request.canaries) if request.HasField("canaries") else (None, ())
    baseline = request.baseline_train_accuracy if request.HasField("baseline_train_accuracy") else None
    refuse_if_any(
        check_request_id(request.request_id),
        check_lineage(request.lineage),
        check_sha256("weights_sha256", request.weights_sha256),
        check_sha256("manifest_sha256", request.manifest_sha256),
        () if baseline is None else check_fraction("baseline_train_accuracy", baseline),
        architecture_violations,
        recipe_violations,
        canary_violations,
    )
    if architecture is None:
        raise RuntimeError("an architecture without violations was not built")
    return Registration(
        lineage=request.lineage,
        request_id=request.request_id,
        architecture=architecture,
        manifest_digest=request.manifest_sha256,
        weights_digest=request.weights_sha256,
        recipe=recipe,
        baseline_train_accuracy=baseline,
        canaries=canaries,
        requires_acknowledgement=request.require_acknowledgement,
    )


def _architecture(
    message: model_pb2.Architecture,
) -> tuple[ArchitectureConfig | None, tuple[FieldViolation, ...]]:
    values = {
        "name": message.name,
        "classes": message.classes,
        "channels": message.channels or 3,
        "image_size": message.image_size,
        "mean": tuple(message.mean),
        "std": tuple(message.std),
    }
    try:
        return ArchitectureConfig.model_validate(values), ()
    except ValidationError as error:
        return None, tuple(violations_of(error, "architecture"))


def _recipe(message: model_pb2.TrainingRecipe) -> tuple[RetrainConfig | None, tuple[FieldViolation, ...]]:
    train: dict[str, object] = {
        "epochs": message.epochs,
        "learning_rate": message.learning_rate,
        "schedule": _SCHEDULES.get(message.schedule),
    }
    if message.HasField("momentum"):
        train["momentum"] = message.momentum
    if message.HasField("weight_decay"):
        train["weight_decay"] = message.weight_decay
    if message.HasField("batch_size"):
        train["batch_size"] = message.batch_size
    stop = message.stop_at_train_accuracy if message.HasField("stop_at_train_accuracy") else None
    try:
        return RetrainConfig.model_validate({"train": train, "stop_at_train_accuracy": stop}), ()
    except ValidationError as error:
        return None, tuple(violations_of(error, "recipe", flattened="train"))


def _canaries(
    message: model_service_pb2.CanaryRegister,
) -> tuple[CanaryRegister | None, tuple[FieldViolation, ...]]:
    wrong = tuple(check_ids("canaries.sample_ids", message.sample_ids))
    if wrong:
        return None, wrong
    try:
        register = CanaryRegister(
            key=message.key, sample_ids=tuple(message.sample_ids), mislabelled=message.mislabelled
        )
    except ValueError as error:  # it tells of a length or an order, never of a value
        return None, (FieldViolation(field="canaries", description=str(error)),)
    if register.commitment != message.commitment:
        description = "is not that of the key and the ids: the register was changed"
        return None, (FieldViolation(field="canaries.commitment", description=description),)
    return register, ()


def inline_ids(selection: sample_selection_pb2.SampleSelection) -> tuple[str, ...]:
    """Return the ids that a selection names; there may be none.

    Raises:
        UnsupportedIdSourceError: it names them in a way that is not served.
        InvalidRequestError: an id breaks the contract.
    """
    source = selection.WhichOneof("source")
    if source != "inline":
        raise UnsupportedIdSourceError(f"this version takes sample ids inline only, not by {source}")
    sample_ids = tuple(selection.inline.sample_ids)
    refuse_if_any(check_ids("samples.inline.sample_ids", sample_ids))
    return sample_ids


def check_source(selection: sample_selection_pb2.SampleSelection) -> Iterator[FieldViolation]:
    """Yield what is wrong with the way in which samples are named."""
    if selection.WhichOneof("source") is None:
        yield FieldViolation(field="samples", description="must name samples in one of the ways")
