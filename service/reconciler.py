"""The reconciler: looks at everything that is open and moves it forward, again and again."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog

from service.domain.run import FailureKind, UnlearningRun
from service.errors import PermanentError, StaleVersionError, TemporaryError
from service.workflow import Workflow

MAX_BACKOFF_SECONDS = 60.0
"""Longest pause of one thing after failures in a row."""
MAX_DOUBLINGS = 16
"""Of the pause; more would only make a number that no float holds."""
TEND_INTERVAL = timedelta(hours=1)
"""Between two looks at the references: their deadlines are counted in days, and a look lists what is stored."""
KEEP_INTERVAL = timedelta(minutes=1)
"""Between two looks at pointers and superseded releases: how long a pointer that was moved back can mislead."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chore:
    """Something to be done every so often, apart from what is open."""

    name: str
    do: Callable[[], None]
    every: timedelta
    """After it was done; what failed is tried again with the back-off of every step."""


class Reconciler:
    """One thread that advances whatever is open; level-triggered, so that it does not matter what it missed."""

    def __init__(self, *, workflow: Workflow, interval_seconds: float, chores: Sequence[Chore] = ()) -> None:
        self._workflow = workflow
        self._chores = (
            Chore(name="references", do=workflow.references.tend, every=TEND_INTERVAL),
            Chore(name="releases", do=workflow.keeper.keep, every=KEEP_INTERVAL),
            *chores,
        )
        self._interval = interval_seconds
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._done: dict[str, datetime] = {}
        """When each chore was done last."""
        self._tidy = False
        """Whether no crash and no failed step can have left anything behind."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="reconciler", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Finish the step at hand and end; whatever is open goes on at the next start."""
        self._stop.set()
        self._thread.join(timeout_seconds)

    def round(self) -> None:
        """Look at everything once; one thing's failure does not keep the others waiting."""
        if not self._tidy:
            self._tidy = self._step("pointers", self._workflow.repair_pointers)
            self._tidy &= self._step("leftovers", self._workflow.sweep)
        self._do_chores()
        self._step("holds", self._workflow.held.sort_tickets)
        self._step("tickets", self._workflow.schedule_tickets)
        self._step("batches", self._open_runs)
        self._step("runs", self._advance_runs)

    def _loop(self) -> None:
        while not self._stop.is_set():
            self.round()
            self._stop.wait(self._interval)

    def _do_chores(self) -> None:
        now = self._workflow.clock.now()
        for chore in self._chores:
            done = self._done.get(chore.name)
            if (done is None or now >= done + chore.every) and self._step(chore.name, chore.do):
                self._done[chore.name] = now

    def _open_runs(self) -> None:
        for lineage, tickets in self._workflow.waiting().items():
            self._step(f"batch {lineage}", partial(self._workflow.open_run, lineage, tickets))

    def _advance_runs(self) -> None:
        for run in self._workflow.store.active_runs():
            with structlog.contextvars.bound_contextvars(run_id=run.run_id, lineage=run.lineage):
                self._step(run.run_id, partial(self._advance, run))

    def _advance(self, run: UnlearningRun) -> None:
        """Advance a run as far as it goes without waiting."""
        while run.is_active:
            before = (run.phase, run.epoch)
            try:
                run = self._workflow.advance_run(run)
            except PermanentError as error:
                run = self._workflow.transitions.fail(run, FailureKind.INPUT, type(error).__name__, error.message)
            if (run.phase, run.epoch) == before:
                return
            _log.info("run advanced", phase=run.phase.value, epoch=run.epoch, rung=run.rung_index, reason=run.reason)

    def _step(self, name: str, action: Callable[[], None]) -> bool:
        """Do one thing and return whether it was done; what failed waits longer each time before it is tried again."""
        if time.monotonic() < self._not_before.get(name, 0.0):
            return False
        try:
            action()
        except StaleVersionError:
            return False  # somebody else moved it: the next round reads it again
        except TemporaryError as error:
            self._back_off(name, error.retry_after_seconds)
            _log.warning("step will be tried again", step=name, error=type(error).__name__, detail=error.message)
        except Exception:  # noqa: BLE001 - the loop must outlive whatever one record does to it
            self._back_off(name, 1.0)
            _log.exception("step failed", step=name)
        else:
            self._failures.pop(name, None)
            self._not_before.pop(name, None)
            return True
        return False

    def _back_off(self, name: str, first_seconds: float) -> None:
        self._tidy = False  # it may have failed half-way
        failures = self._failures.get(name, 0)
        self._failures[name] = failures + 1
        pause = first_seconds * 2 ** min(failures, MAX_DOUBLINGS)
        self._not_before[name] = time.monotonic() + min(pause, MAX_BACKOFF_SECONDS)
