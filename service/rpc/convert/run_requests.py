"""Requests about runs to domain values; what breaks the contract is refused here, with every field that is wrong."""

from service.domain.run import RunAction, RunOrder, RunPhase
from service.domain.run_query import RunQuery
from service.errors import FieldViolation
from service.pb.unlearning.v1 import run_service_pb2
from service.rpc.convert.cursors import run_cursor
from service.rpc.convert.enums import RUN_PHASES
from service.rpc.convert.requests import MAX_KEY_CHARACTERS
from service.rpc.paging import page_size
from service.rpc.validation import check_lineage, check_request_id, check_text, refuse_if_any

MAX_REASON_CHARACTERS = 1000
_PHASES = {number: phase for phase, number in RUN_PHASES.items()}


def run_query(request: run_service_pb2.ListRunsRequest, *, tenant: str) -> RunQuery:
    """Return which runs to read: one more than the page has, to know whether another page follows.

    Raises:
        InvalidRequestError: the request breaks the contract.
    """
    phases = [_PHASES.get(number) for number in request.phases]
    refuse_if_any(
        check_lineage(request.lineage) if request.lineage else (),
        [
            FieldViolation(field=f"phases[{position}]", description="must name a phase")
            for position, phase in enumerate(phases)
            if phase is None
        ],
    )
    size, lineage = page_size(request.page_size), request.lineage or None
    known: frozenset[RunPhase] = frozenset(phase for phase in phases if phase is not None)
    first_page = RunQuery(tenant=tenant, lineage=lineage, phases=known, limit=size + 1)
    after = run_cursor(request.page_token, first_page)
    return RunQuery(tenant=tenant, lineage=lineage, phases=known, limit=size + 1, after=after)


def retry(request: run_service_pb2.RetryRunRequest) -> RunOrder:
    """Return what an operator wants done.

    Raises:
        InvalidRequestError: the request breaks the contract.
    """
    _check(request)
    return RunOrder(request_id=request.request_id, action=RunAction.RETRY, reason=request.reason)


def escalation(request: run_service_pb2.EscalateRunRequest) -> RunOrder:
    """Return what an operator wants done.

    Raises:
        InvalidRequestError: the request breaks the contract.
    """
    _check(
        request,
        *([] if request.rung_index > 0 else [FieldViolation(field="rung_index", description="must be positive")]),
    )
    return RunOrder(
        request_id=request.request_id,
        action=RunAction.ESCALATE,
        reason=request.reason,
        rung_index=request.rung_index,
    )


def _check(
    request: run_service_pb2.RetryRunRequest | run_service_pb2.EscalateRunRequest, *further: FieldViolation
) -> None:
    refuse_if_any(
        check_request_id(request.request_id),
        check_text("run_id", request.run_id, MAX_KEY_CHARACTERS),
        check_text("reason", request.reason, MAX_REASON_CHARACTERS),
        further,
    )
