"""Places for callers that watch: limited, because each holds a thread, and given up at once when the server stops."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock
from typing import TypeVar

import grpc

from service.errors import ServerOverloadedError
from service.rpc.errors import ServerDrainingError

M = TypeVar("M")

WATCH_POLL_SECONDS = 0.25
"""How late a watcher may learn of a change; eight watchers read the store 32 times a second."""


class Watchers:
    """Who is watching now."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = Lock()
        self._ends: set[Event] = set()
        self._draining = False

    @contextmanager
    def place(self, context: grpc.ServicerContext) -> Iterator[Event]:
        """Take a place for one call; the event is set when the caller has gone or the server stops.

        Raises:
            ServerOverloadedError: no place is free.
            ServerDrainingError: the server stops.
        """
        end = Event()
        with self._lock:
            self.check_open()
            if len(self._ends) >= self._limit:
                raise ServerOverloadedError(f"{self._limit} callers are watching already", limit=str(self._limit))
            self._ends.add(end)
        try:
            if not context.add_callback(end.set):
                end.set()  # the caller went away before it could be listened for
            yield end
        finally:
            with self._lock:
                self._ends.discard(end)

    def follow(self, context: grpc.ServicerContext, look: Callable[[], tuple[M, bool]]) -> Iterator[M]:
        """Send what is seen at once and again whenever it has changed, until it is final or the caller has gone.

        Args:
            context: of the call.
            look: returns what is to be seen now, and whether it is final.

        Raises:
            ServerOverloadedError: no place is free.
            ServerDrainingError: the server stops.
        """
        sent: M | None = None
        with self.place(context) as end:
            while True:
                message, is_final = look()
                if message != sent:
                    yield message
                    sent = message
                if is_final:
                    return
                if end.wait(WATCH_POLL_SECONDS):
                    self.check_open()
                    return

    def check_open(self) -> None:
        """Do nothing, unless the server stops.

        Raises:
            ServerDrainingError: it does.
        """
        if self._draining:
            raise ServerDrainingError("the server is stopping: watch again")

    def drain(self) -> None:
        """End every watch, and take no more."""
        with self._lock:
            self._draining = True
            for end in self._ends:
                end.set()
