"""The sockets that are listened on: bound here, or inherited from systemd or from the server before this one.

An inherited socket is the same one in the kernel: whoever connected to it and was not accepted yet waits in its queue,
and is accepted by whoever holds it then. So a server may end and another begin without that anybody is refused.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterable, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, NamedTuple

from presence_server.settings import Settings, hosts_of
from presence_server.transports.websocket.direct import RECEIVE_BUFFER, SEND_BUFFER

BACKLOG: Final = 2048
"""Connections that wait to be accepted, unless the system allows less (net.core.somaxconn)."""

FIRST_FD: Final = 3
"""The first descriptor that systemd hands over: sd_listen_fds(3)."""


class BindError(Exception):
    """The address cannot be listened on. Its text is one line for whoever started the server."""


class Sockets(NamedTuple):
    """Whose the listening sockets are.

    `are_held`: also another's, who keeps them open. `are_shared`: others may listen at the same addresses.
    """

    are_held: bool = False
    are_shared: bool = False


def opened(settings: Settings, handed: Sequence[socket.socket]) -> tuple[Settings, Sockets, list[socket.socket]]:
    """The sockets to listen on, whose they are, and the settings with their addresses.

    systemd's, if it has made any for this process; else those of the settings, of which what was `handed` over by the
    server before this one is not bound again.

    Raises:
        BindError: an address cannot be had.
    """
    given = activated(os.environ, os.getpid())
    inherited = Inherited(handed)
    if given:
        inherited.close()
        hosts, port = address_of(given) or (settings.host, settings.port)
        return replace(settings, host=hosts, port=port), Sockets(are_held=True), given
    listeners = listen(settings.host, settings.port, inherited=inherited, reuse_port=settings.reuse_port)
    if settings.uds:
        listeners.append(listen_at(settings.uds, inherited))
    inherited.close()
    return settings, Sockets(are_shared=settings.reuse_port), listeners


def listen(
    host: str, port: int, *, inherited: Inherited | None = None, reuse_port: bool = False
) -> list[socket.socket]:
    """Sockets for every address that `host` stands for and this machine has, all on one port.

    `host` may be several, separated by commas. `::` stands for every address of both families, as 0.0.0.0 does for
    those of one; those that are named beside it are among them. With port 0 the system chooses the port for the first
    address; if another address has it in use, another port is chosen, up to 20 times.

    `inherited`: what is there already is taken from there. `reuse_port`: others may listen there as well that say so
    (SO_REUSEPORT, socket(7)).

    Raises:
        BindError: one of them has no such address, or the port is taken on one of them.
    """
    if reuse_port and not hasattr(socket, "SO_REUSEPORT"):
        raise BindError("reuse_port: this system has no SO_REUSEPORT")
    binder = _Binder(inherited or Inherited(), reuse_port)
    for _ in range(_CHOICES - 1 if port == 0 else 0):
        with suppress(_TakenError):
            return _listen_at_all(host, port, binder)
    return _listen_at_all(host, port, binder)


_CHOICES: Final = 20


class _TakenError(BindError):
    """The port is in use on one of the addresses."""


def _listen_at_all(host: str, port: int, binder: _Binder) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    bound: set[tuple[Any, ...]] = set()
    try:
        for one in sorted(hosts_of(host), key=lambda one: one not in _EVERY):
            try:
                listeners += _listen(one, port, listeners, bound, binder)
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


def _listen(
    host: str, port: int, others: Sequence[socket.socket], bound: set[tuple[Any, ...]], binder: _Binder
) -> list[socket.socket]:
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
                    listeners.append(binder.bind(family, kind, protocol, address))
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


class _Binder:
    """Binds an address, unless a socket that is bound to it was inherited."""

    def __init__(self, inherited: Inherited, reuse_port: bool) -> None:
        self._inherited = inherited
        self._reuse_port = reuse_port

    def bind(self, family: int, kind: int, protocol: int, address: tuple[Any, ...]) -> socket.socket:
        """Raises OSError."""
        inherited = self._inherited.take(family, address)
        if inherited is not None:
            return inherited
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._reuse_port:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            _set_buffers(listener)
            listener.bind(address)
            listener.listen(BACKLOG)  # already here, so that a taken port is seen before anything is said to run
            listener.setblocking(False)
            return listener
        except OSError:
            listener.close()
            raise


def listen_at(path: str, inherited: Inherited | None = None) -> socket.socket:
    """A Unix socket at `path`, which anybody may open who may enter its folder.

    One that is there already, and that nobody listens on any more, is replaced.

    Raises:
        BindError: somebody listens there, or the path cannot be had.
    """
    if inherited is not None and (found := inherited.take(socket.AF_UNIX, path)) is not None:
        return found
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


class Inherited:
    """Sockets of a server before this one, each taken by whoever would bind its address."""

    def __init__(self, sockets: Iterable[socket.socket] = ()) -> None:
        self._sockets = list(sockets)

    def take(self, family: int, address: Any) -> socket.socket | None:
        """The one at `address`, of whatever port if that is 0. None: there is none."""
        for one in self._sockets:
            at = one.getsockname()
            if one.family == family and (at == address or (address[1:2] == (0,) and at[0] == address[0])):
                self._sockets.remove(one)
                return one
        return None

    def close(self) -> None:
        """Let go of those that nobody has taken."""
        for one in self._sockets:
            one.close()
        self._sockets = []


def activated(environ: MutableMapping[str, str], pid: int) -> list[socket.socket]:
    """The sockets that systemd listens on for this process: sd_listen_fds(3). The variables are taken out.

    Raises:
        BindError: one of them is none that can be listened on.
    """
    if environ.get("LISTEN_PID") != str(pid):
        return []
    count = environ.get("LISTEN_FDS", "")
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        environ.pop(name, None)
    if not (count.isascii() and count.isdigit() and len(count) < 4):
        raise BindError(f"LISTEN_FDS must be a number of sockets, not {count[:20]!a}")
    return [_activated(descriptor) for descriptor in range(FIRST_FD, FIRST_FD + int(count))]


def _activated(descriptor: int) -> socket.socket:
    try:
        one = socket.socket(fileno=descriptor)
        is_listening = one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as failed:
        raise BindError(f"LISTEN_FDS: descriptor {descriptor}: {failed.strerror or failed}") from None
    if one.type != socket.SOCK_STREAM or not is_listening:
        raise BindError(f"LISTEN_FDS: descriptor {descriptor} is no stream socket that is listened on")
    return adopted(one)


def adopted(listener: socket.socket) -> socket.socket:
    """An inherited socket, set up as one of our own is."""
    listener.set_inheritable(False)
    listener.setblocking(False)
    if listener.family != socket.AF_UNIX:
        _set_buffers(listener)
    return listener


def _set_buffers(listener: socket.socket) -> None:
    """Connections have those of their listener."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)


def address_of(listeners: Sequence[socket.socket]) -> tuple[str, int] | None:
    """Hosts, separated by commas, and the port of the first; None where all are Unix sockets."""
    found = [one.getsockname() for one in listeners if one.family != socket.AF_UNIX]
    return (",".join(dict.fromkeys(at[0] for at in found)), found[0][1]) if found else None


def page_url(host: str, port: int, is_tls: bool = False) -> str:
    """The link to the page, for somebody on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    scheme = "https" if is_tls else "http"
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"


def url_of(settings: Settings, listeners: Sequence[socket.socket], is_tls: bool) -> str:
    """The link to the page of a server that listens there; `unix:PATH` where it does at Unix sockets only."""
    found = address_of(listeners)
    if found is None:
        return f"unix:{listeners[0].getsockname()}"
    return page_url(settings.hosts[0], found[1], is_tls)
