"""The setting of the gate's mutation suite, and what wrong workers there are made of."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from mcu_core import checkpoint, models
from mcu_core.audit.batchnorm import batchnorm_rows
from mcu_core.config import Rung
from mcu_core.images import Images
from mcu_core.inference import reestimate_batchnorm
from mcu_core.report import AuditReport, Role
from mcu_core.runtime import runtime_of
from mcu_core.statistics.scores import from_parquet, to_parquet
from mcu_core.types import Outcome as Made
from mcu_core.types import State
from service.domain.ledger import LedgerKind
from service.domain.release import weights_key
from service.domain.run import RunPhase, WorkOrder, attempt_prefix
from service.domain.ticket import Ticket, TicketState
from service.pixel_files import PixelCache
from service.worker.auditing import report_on, run_seed
from service.worker.posing import PosedRun
from tests.attempts import Attempt
from tests.audits import retrained_as
from tests.memorised_digits import ARCHITECTURE, RETRAIN, MemorisedDigits, build, request, world_of
from tests.records import LINEAGE
from tests.workers import Worker, real
from tests.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The original, and what the real worker made of the request by exact retraining."""

    folder: Path
    digits: MemorisedDigits
    world: World
    ticket: Ticket
    stored: dict[str, bytes]

    @staticmethod
    def honest(folder: Path) -> "Setting":
        """Train the original and let the real worker retrain."""
        digits, stored = build(folder), dict[str, bytes]()
        world = world_of(digits, real(PixelCache(root=folder / "pixels"), keep=stored), folder=folder)
        ticket = request(world, digits)
        world.drive()
        return Setting(folder=folder, digits=digits, world=world, ticket=ticket, stored=stored)

    @property
    def pixels(self) -> PixelCache:
        return PixelCache(root=self.folder / "pixels")

    @property
    def retrained(self) -> State:
        """Return the honest candidate."""
        content = self.stored["candidate.safetensors"]
        digest = hashlib.sha256(content).hexdigest()
        return checkpoint.load(content, models.build(ARCHITECTURE), expected_digest=digest)

    def worker(self, **parts: object) -> Worker:
        """Return a worker that retrains as the honest one did, but for these parts."""
        chosen = {"unlearn": lambda order, posed: offered(order, posed, self.retrained), **parts}
        return Worker(decoded=self.pixels, **chosen)  # type: ignore[arg-type]  # passed on

    def restated(self, order: WorkOrder, **facts: object) -> dict[str, bytes]:
        """Return what the honest worker stored, but for these facts, as a report on another order tells it."""
        table = from_parquet(self.stored["scores.parquet"])
        changed = {"plan": order.plan.digest, **facts}
        scores = to_parquet(replace(table, facts=table.facts.model_copy(update=changed)))
        candidate = hashlib.sha256(self.stored["candidate.safetensors"]).hexdigest()
        report = report_on(order, scores, candidate)
        return {**self.stored, "scores.parquet": scores, "report.json": report.to_bytes()}

    def run(self, *attempts: Attempt, ladder: tuple[Rung, ...] = (RETRAIN,)) -> tuple[World, Ticket]:
        """Let the whole service answer the request with these attempts."""
        world = world_of(self.digits, *attempts, folder=self.folder)
        ticket = request(world, self.digits, *ladder)
        world.drive()
        return world, ticket


def report_of(world: World, ticket: Ticket) -> AuditReport:
    run = world.run(ticket)
    return AuditReport.model_validate_json(world.objects.read(f"{attempt_prefix(run.run_id, run.epoch)}/report.json"))


def require_published(world: World, ticket: Ticket) -> None:
    assert world.run(ticket).phase is RunPhase.COMMITTED, world.run(ticket).reason
    assert world.ticket(ticket).state is TicketState.SUCCEEDED
    assert [release.number for release in world.releases()] == [1, 2]


def require_unpublished(world: World, ticket: Ticket) -> str:
    """Check that nothing came of it but a person's work, and return the reason's code."""
    assert world.run(ticket).phase is RunPhase.FAILED
    assert world.ticket(ticket).state is TicketState.NEEDS_ATTENTION
    assert [release.number for release in world.releases()] == [1]
    assert world.pointer()["release"] == 1
    assert world.store.forgotten_rows(LINEAGE) == {}
    assert world.objects.head(weights_key(LINEAGE, 2)) is None
    assert all(entry.kind is not LedgerKind.RELEASED for entry in world.ledger())
    return world.ticket(ticket).reasons[0].code


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Relabelled:
    """The same images with other labels."""

    data: Images
    labels: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.data.shape

    def pixels(self, rows: Tensor) -> Tensor:
        return self.data.pixels(rows)


def offered(order: WorkOrder, posed: PosedRun, state: State, *, rows: Tensor | None = None) -> Made:
    """Return the state as an attempt offers it: with the BatchNorm statistics of D_r, or of these rows."""
    problem = posed.problem
    read = batchnorm_rows(problem, order.rung, run_seed(order)) if rows is None else rows
    return retrained_as(reestimate_batchnorm(runtime_of(problem, order.spec.config), state, read))


def one_bit(order: WorkOrder, posed: PosedRun) -> Made:
    """Return the original but for one bit."""
    return offered(order, posed, with_another_last_bit(posed.problem.original))


def with_another_last_bit(state: State) -> State:
    """Return the state with one weight that is the next larger float."""
    return with_first(state, lambda weight: torch.nextafter(weight, weight + 1))


def overflowing(state: State) -> State:
    """Return the state with finite weights whose outputs are not."""
    return replace(state, params={name: tensor * 1e30 for name, tensor in state.params.items()})


def with_first(state: State, change: Callable[[Tensor], Tensor]) -> State:
    """Return the state with its first weight changed."""
    name, tensor = next(iter(state.params.items()))
    changed = tensor.clone()
    changed.view(-1)[0] = change(changed.view(-1)[0])
    return replace(state, params={**state.params, name: changed})


def with_digest(scores: bytes, role: Role, state: State) -> bytes:
    """Return the scores as if they were of this model."""
    table = from_parquet(scores)
    digests = {**table.facts.digests, role: checkpoint.digest(state)}
    return to_parquet(replace(table, facts=table.facts.model_copy(update={"digests": digests})))
