"""Holds: requests to domain values, and domain values to responses."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from service.domain.hold import Hold, HoldOrder, HoldStanding, HoldState, HoldTreatment
from service.domain.ledger import microseconds
from service.errors import FieldViolation, InvalidRequestError
from service.hold_port import HoldQuery
from service.pb.unlearning.v1 import hold_pb2, hold_service_pb2
from service.rpc.convert.enums import HOLD_STATES, HOLD_TREATMENTS
from service.rpc.convert.requests import check_source, inline_ids
from service.rpc.convert.responses import make_etag, optional_timestamp, timestamp
from service.rpc.paging import make_token, page_size, read_token
from service.rpc.validation import check_lineage, check_request_id, check_text, refuse_if_any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_KEY_CHARACTERS = 128
_MAX_REASON_CHARACTERS = 1000
_STATES = {number: state for state, number in HOLD_STATES.items()}
_TREATMENTS = {number: treatment for treatment, number in HOLD_TREATMENTS.items()} | {
    hold_pb2.HOLD_TREATMENT_UNSPECIFIED: HoldTreatment.RESTRICT
}


def order(request: hold_service_pb2.PlaceHoldRequest) -> HoldOrder:
    """Return what a caller wants held.

    Raises:
        InvalidRequestError: the request breaks the contract.
        UnsupportedIdSourceError: the samples are named in a way that is not served.
    """
    treatment = _TREATMENTS.get(request.treatment)
    refuse_if_any(
        check_request_id(request.request_id),
        check_lineage(request.lineage),
        check_text("legal_basis", request.legal_basis, _MAX_REASON_CHARACTERS),
        () if treatment else [FieldViolation(field="treatment", description="must name a treatment")],
        check_source(request.samples),
    )
    sample_ids = inline_ids(request.samples)
    if not sample_ids:
        raise InvalidRequestError(FieldViolation(field="samples", description="must name at least one sample"))
    return HoldOrder(
        lineage=request.lineage,
        request_id=request.request_id,
        sample_ids=sample_ids,
        legal_basis=request.legal_basis,
        treatment=_TREATMENTS[request.treatment],
    )


def check_release(request: hold_service_pb2.ReleaseHoldRequest) -> None:
    """Refuse a request that breaks the contract.

    Raises:
        InvalidRequestError: naming what is wrong.
    """
    refuse_if_any(
        check_request_id(request.request_id),
        check_text("hold_id", request.hold_id, _MAX_KEY_CHARACTERS),
        check_text("reason", request.reason, _MAX_REASON_CHARACTERS),
    )


def query(request: hold_service_pb2.ListHoldsRequest, *, tenant: str) -> HoldQuery:
    """Return which holds to read: one more than the page has, to know whether another page follows.

    Raises:
        InvalidRequestError: the request breaks the contract.
    """
    states = [_STATES.get(number) for number in request.states]
    refuse_if_any(
        check_lineage(request.lineage) if request.lineage else (),
        [
            FieldViolation(field=f"states[{position}]", description="must name a state")
            for position, state in enumerate(states)
            if state is None
        ],
    )
    limit, lineage = page_size(request.page_size) + 1, request.lineage or None
    known: frozenset[HoldState] = frozenset(state for state in states if state is not None)
    first_page = HoldQuery(tenant=tenant, lineage=lineage, states=known, limit=limit)
    cursor = read_token(request.page_token, _scope(first_page), (int, str))
    after = None if cursor is None else (_EPOCH + timedelta(microseconds=int(cursor[0])), str(cursor[1]))
    return HoldQuery(tenant=tenant, lineage=lineage, states=known, limit=limit, after=after)


def hold(standing: HoldStanding) -> hold_pb2.Hold:
    """Return a hold."""
    record = standing.hold
    return hold_pb2.Hold(
        hold_id=record.hold_id,
        lineage=record.lineage,
        sample_count=record.sample_count,
        ids_commitment=record.ids_commitment,
        legal_basis=record.legal_basis,
        treatment=HOLD_TREATMENTS[record.treatment],
        state=HOLD_STATES[record.state],
        place_time=timestamp(record.placed_at),
        release_time=optional_timestamp(None if record.release is None else record.release.at),
        waiting_ticket_count=standing.waiting_tickets,
        etag=etag(record),
    )


def etag(record: Hold) -> str:
    """Return what changes whenever the hold does."""
    return make_etag("hold", record.hold_id, record.version)


def page(found: Sequence[HoldStanding], asked: HoldQuery) -> hold_service_pb2.ListHoldsResponse:
    """Return a page of what a query found; the query asked for one more than the page has."""
    shown = found[: asked.limit - 1]
    more = len(found) > len(shown)
    return hold_service_pb2.ListHoldsResponse(
        holds=[hold(standing) for standing in shown],
        next_page_token=make_token(_cursor(shown[-1].hold), _scope(asked)) if more else "",
    )


def _cursor(last: Hold) -> tuple[int, str]:
    return microseconds(last.placed_at), last.hold_id


def _scope(asked: HoldQuery) -> tuple[str, ...]:
    return ("holds", asked.tenant or "", asked.lineage or "", *sorted(state.value for state in asked.states))
