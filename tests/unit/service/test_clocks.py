"""What is published can be verified, whatever the clocks of service and workers said meanwhile."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
import structlog.testing

from service.bundle import Bundle
from service.domain import judging
from service.domain.run import WorkOrder
from service.domain.ticket import TicketState
from service.evidence import collect_members
from service.ports import ObjectStore
from service.signing import load_public_key
from service.verification.checks import Outcome
from service.verification.verify import verify
from tests.attempts import Audit, candidate_digest, facts_of, finish, no_trace, scores_of, trace_left
from tests.records import LINEAGE
from tests.world import SIGNER, World

NONE, HOUR, DAY = timedelta(0), timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@dataclass(kw_only=True)
class Clocked:
    """An attempt on a machine with a clock of its own, during which the service's clock is set back."""

    audit: Audit
    ahead: timedelta
    """By which the worker's clock is ahead of the service's."""
    back: timedelta
    worlds: list[World] = field(default_factory=list)

    def __call__(self, order: WorkOrder, objects: ObjectStore) -> int:
        facts = facts_of(order)
        ahead = facts.started_at + self.ahead // timedelta(microseconds=1)
        evidence = self.audit(order.plan, facts.model_copy(update={"started_at": ahead}))
        scored = hashlib.sha256(scores_of(evidence)).hexdigest()
        report = judging.report_of(order, evidence, candidate_digest=candidate_digest(order), scores_digest=scored)
        for world in self.worlds:
            world.clock.advance(-self.back)
        return finish(order, objects, report)


@pytest.mark.parametrize("back", [(NONE, NONE), (DAY, NONE), (NONE, DAY), (DAY, HOUR)], ids=str)
@pytest.mark.parametrize("ahead", [(NONE, NONE), (DAY, NONE), (NONE, DAY)], ids=str)
def test_a_published_run_is_in_order_by_its_own_evidence(
    ahead: tuple[timedelta, timedelta], back: tuple[timedelta, timedelta]
) -> None:
    attempts = [
        Clocked(audit=audit, ahead=skew, back=step)
        for audit, skew, step in zip((trace_left, no_trace), ahead, back, strict=True)
    ]
    world = World(*attempts)
    for attempt in attempts:
        attempt.worlds.append(world)
    world.register()
    ticket = world.submit("train-03", "train-11")
    world.drive()

    assert world.ticket(ticket).state is TicketState.SUCCEEDED
    members = collect_members(world.objects, LINEAGE, world.run(ticket).run_id)
    keys = [load_public_key(SIGNER.public_key.pem.encode())]
    failed = [each for each in verify(Bundle(members=members), keys, level=1) if each.outcome is Outcome.FAILED]
    assert failed == []
