"""Bars of work whose phases become known as they begin."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from service.cli.output import err_console


@contextmanager
def phase_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Show on standard error what is told: what is done, and how many steps of how many."""
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err_console, transient=True) as bars:
        yield PhaseBars(bars)


@dataclass(slots=True)
class PhaseBars:
    """Shows a bar of what runs, and no other: what begins anew, under whatever name, gets a new one."""

    bars: Progress
    _running: TaskID | None = None
    _what: tuple[str, int] | None = None
    _done: int = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Take note of how many steps of how many are done."""
        if self._running is None or (what, total) != self._what or done < self._done:
            if self._running is not None:
                self.bars.remove_task(self._running)
            self._running = self.bars.add_task(what, total=total)
        self._what, self._done = (what, total), done
        self.bars.update(self._running, completed=done)
