"""Forbids this process every connection that would leave the machine."""

import socket
from typing import Any

LOOPBACK = ("127.", "::1", "localhost")


class LeftTheMachineError(AssertionError):
    """Something tried to reach another machine."""


def _check(sock: socket.socket, address: Any) -> None:
    if sock.family == getattr(socket, "AF_UNIX", None):
        return
    if not str(address[0]).startswith(LOOPBACK):
        raise LeftTheMachineError(f"a connection to {address} was tried")


def install(patch: Any = setattr) -> None:
    """Guard `connect`, `sendto` and name look-ups; `patch` sets an attribute of an object."""
    for name in ("connect", "connect_ex", "sendto"):
        original = getattr(socket.socket, name)

        def guarded(self: socket.socket, *args: Any, original: Any = original) -> Any:
            _check(self, args[-1])
            return original(self, *args)

        patch(socket.socket, name, guarded)
    look_up = socket.getaddrinfo

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host is not None and not str(host).startswith(LOOPBACK):
            raise LeftTheMachineError(f"the name {host!r} was looked up")
        return look_up(host, *args, **kwargs)

    patch(socket, "getaddrinfo", guarded_look_up)
