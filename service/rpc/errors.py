"""Errors that only exist because there are callers."""

from service.errors import PermanentError, TemporaryError


class ServerDrainingError(TemporaryError):
    """The server is stopping; another one, or the next, answers."""


class EtagMismatchError(PermanentError):
    """The record changed since the caller read it."""


class UnsupportedIdSourceError(PermanentError):
    """The samples are named in a way that the contract has and this version does not serve."""


class UnauthenticatedError(PermanentError):
    """Nobody knows who the caller is."""


class CannotListenError(PermanentError):
    """The server may not or cannot listen on an address."""
