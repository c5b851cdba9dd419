"""Who is calling. Without TLS the only callers are processes on this machine, and they are one tenant."""

from contextvars import ContextVar
from dataclasses import dataclass
from urllib.parse import unquote

import grpc

from service.rpc.errors import UnauthenticatedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Tenant and actor of a call; they come from authentication, never from the body of a request."""

    tenant: str
    actor: str


LOCAL_IDENTITY = Identity(tenant="local", actor="local")

_LOCAL_PEERS = ("ipv4:127.", "ipv6:[::1]", "ipv6:[::ffff:127.", "unix:")
_CURRENT: ContextVar[Identity] = ContextVar("identity")


def authenticate(context: grpc.ServicerContext) -> Identity:
    """Return who is calling, and remember it for the rest of the call.

    Raises:
        UnauthenticatedError: the call does not come from this machine.
    """
    if not unquote(context.peer()).startswith(_LOCAL_PEERS):
        raise UnauthenticatedError("without TLS only callers on the same machine are known")
    _CURRENT.set(LOCAL_IDENTITY)
    return LOCAL_IDENTITY


def current_identity() -> Identity:
    """Return who made this call: gRPC gives each call its own context.

    Raises:
        LookupError: the call was not authenticated; nothing may be done for it.
    """
    return _CURRENT.get()
