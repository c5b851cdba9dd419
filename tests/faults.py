"""Ports that fail at a chosen moment: the process is killed there, or the call fails there."""

from collections.abc import Callable
from typing import Any, TypeVar

P = TypeVar("P")


class Kill(BaseException):
    """Ends the process, whatever it would catch."""


class Faults:
    """Counts the moments before and after every call of the ports it guards, and fails at one of them."""

    def __init__(self, at: int, error: Callable[[], BaseException] = Kill, *, times: int = 1) -> None:
        """Fail at moment `at`, counted from 1, and at the `times - 1` after it; 0 never fails."""
        self._moments = range(at, at + times) if at else range(0)
        self._error = error
        self.moment = 0

    def guard(self, port: P) -> P:
        """Return the port with these faults."""
        return _Guarded(port, self._pass)  # type: ignore[return-value]  # it has every method of the port

    def _pass(self) -> None:
        self.moment += 1
        if self.moment in self._moments:
            raise self._error()


class _Guarded:
    def __init__(self, port: object, moment: Callable[[], None]) -> None:
        self._port = port
        self._moment = moment

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._moment()
            result = method(*args, **kwargs)
            self._moment()
            return result

        return call
