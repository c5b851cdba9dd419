"""Who a caller is."""

from contextvars import Context
from typing import Any, cast

import grpc
import pytest

from service.rpc.errors import UnauthenticatedError
from service.rpc.identity import LOCAL_IDENTITY, authenticate, current_identity


class Caller:
    """A call's context as far as authentication looks at it."""

    def __init__(self, peer: str) -> None:
        self._peer = peer

    def peer(self) -> str:
        return self._peer


def _authenticate(peer: str) -> Any:
    return authenticate(cast("grpc.ServicerContext", Caller(peer)))


@pytest.mark.parametrize(
    "peer",
    ["ipv4:127.0.0.1:5000", "ipv6:[::1]:5000", "ipv6:%5B::1%5D:5000", "ipv6:[::ffff:127.0.0.1]:1", "unix:/run/s"],
)
def test_a_process_of_this_machine_is_known(peer: str) -> None:
    assert _authenticate(peer) == current_identity() == LOCAL_IDENTITY


@pytest.mark.parametrize(
    "peer", ["ipv4:192.0.2.1:5000", "ipv4:12.7.0.1:1", "ipv6:[2001:db8::1]:1", "ipv6:[::11]:1", "", "unknown"]
)
def test_anybody_else_is_not(peer: str) -> None:
    with pytest.raises(UnauthenticatedError):
        _authenticate(peer)


def test_nobody_is_nobody() -> None:
    with pytest.raises(LookupError):
        Context().run(current_identity)
