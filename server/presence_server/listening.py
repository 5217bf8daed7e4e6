"""The sockets that the server listens on, and the link that leads there."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from presence_server.settings import hosts_of
from presence_server.transports.websocket.direct import RECEIVE_BUFFER, SEND_BUFFER


class BindError(Exception):
    """The address cannot be listened on. Its text is one line for whoever started the server."""


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets for every address that `host` stands for and this machine has, all on one port.

    `host` may be several, separated by commas. `::` stands for every address of both families, as 0.0.0.0 does for
    those of one; those that are named beside it are among them. With port 0 the system chooses the port for the first
    address; if another address has it in use, another port is chosen, up to 20 times.

    Raises:
        BindError: one of them has no such address, or the port is taken on one of them.
    """
    for _ in range(_CHOICES - 1 if port == 0 else 0):
        with suppress(_TakenError):
            return _listen_at_all(host, port)
    return _listen_at_all(host, port)


_CHOICES: Final = 20


class _TakenError(BindError):
    """The port is in use on one of the addresses."""


def _listen_at_all(host: str, port: int) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    bound: set[tuple[Any, ...]] = set()
    try:
        for one in sorted(hosts_of(host), key=lambda one: one not in _EVERY):
            try:
                listeners += _listen(one, port, listeners, bound)
            except OSError as failed:
                kind = _TakenError if failed.errno == errno.EADDRINUSE else BindError
                raise kind(f"cannot listen on {one}:{port}: {failed.strerror or failed}") from None
    except BindError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


_EVERY: Final = ("::", "0.0.0.0")
"""Each stands for all addresses of its family."""


def _listen(host: str, port: int, others: Sequence[socket.socket], bound: set[tuple[Any, ...]]) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for name in _EVERY if host == "::" else (host,):
            found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, kind, protocol, _, address in dict.fromkeys(found):
                if (family, address) in bound or any(of == family and every[0] in _EVERY for of, every in bound):
                    continue
                bound.add((family, address))
                if port == 0 and (first := next(iter((*others, *listeners)), None)) is not None:
                    address = (address[0], first.getsockname()[1], *address[2:])
                try:
                    listeners.append(_listener(family, kind, protocol, address))
                except OSError as failed:
                    # `localhost` is ::1 as well in many a hosts file, also where there is no IPv6.
                    if failed.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                        raise
                    missing = failed
        if missing is not None and not listeners:
            raise missing
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _listener(family: int, kind: int, protocol: int, address: tuple[Any, ...]) -> socket.socket:
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        listener.bind(address)
        listener.listen(2048)  # already here, so that a taken port is seen before anything is said to run
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def listen_at(path: str) -> socket.socket:
    """A Unix socket at `path`, which anybody may open who may enter its folder.

    One that is there already, and that nobody listens on any more, is replaced.

    Raises:
        BindError: somebody listens there, or the path cannot be had.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_if_dead(path)
        listener.bind(path)
        os.chmod(path, 0o666)
        listener.listen(2048)
        listener.setblocking(False)
    except OSError as failed:
        listener.close()
        raise BindError(f"cannot listen on {path}: {failed.strerror or failed}") from None
    return listener


def _remove_if_dead(path: str) -> None:
    """Raises OSError: it is no socket, or one that is in use."""
    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise OSError(errno.EEXIST, "there is a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        else:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def page_url(host: str, port: int, is_tls: bool = False) -> str:
    """The link to the page, for somebody on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    scheme = "https" if is_tls else "http"
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"
