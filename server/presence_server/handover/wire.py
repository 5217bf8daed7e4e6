"""The Unix socket in the state's directory: a line of JSON each, and descriptors beside one of them (SCM_RIGHTS).

Only a process of the same user is spoken to, whichever side it is on: a listening socket is worth as much as a token.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

NAME: Final = "takeover.sock"
VERSION: Final = 1
MAX_LINE: Final = 65_536
MAX_SOCKETS: Final = 200
"""Descriptors that one message may carry: SCM_MAX_FD of Linux is 253."""

TAKE: Final = {"type": "take", "version": VERSION}
RELEASED: Final = {"type": "released"}
READY: Final = {"type": "ready"}

_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED


class Refused(Exception):
    """The other side said something else than was to come. Its text is the reason."""


@contextmanager
def address(folder: Path) -> Iterator[str]:
    """The socket's path, of whatever length: one of more than 107 bytes goes by the directory's descriptor."""
    path = str(folder / NAME)
    if len(os.fsencode(path)) <= 107:
        yield path
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)


def is_of_same_user(connection: socket.socket) -> bool:
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(raw)[1] == os.geteuid())


def line_of(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def send(connection: socket.socket, message: dict[str, Any], sockets: Sequence[socket.socket] = ()) -> None:
    """Raises OSError."""
    if sockets:
        socket.send_fds(connection, [line_of(message)], [one.fileno() for one in sockets])
    else:
        connection.sendall(line_of(message))


def message_of(line: bytes, type: str) -> dict[str, Any]:
    """Raises Refused: it is another message, or none."""
    try:
        message = json.loads(line)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise Refused("said what is no message" if line else "hung up")
    if message.get("type") != type:
        raise Refused(str(message.get("reason") or f"said {message.get('type')!a} instead of {type}")[:200])
    return message


def receive(connection: socket.socket, type: str) -> tuple[dict[str, Any], list[socket.socket]]:
    """The next message, which must be of `type`, and the sockets beside it. Blocks.

    Raises:
        Refused: it is another.
        OSError: the connection broke, or its time-out is over.
    """
    received = b""
    found: list[int] = []
    while not received.endswith(b"\n") and len(received) <= MAX_LINE:
        data, descriptors, _, _ = socket.recv_fds(connection, MAX_LINE, MAX_SOCKETS)
        found += descriptors
        if not data:
            break
        received += data
    sockets = [socket.socket(fileno=descriptor) for descriptor in found]
    try:
        return message_of(received, type), sockets
    except Refused:
        for one in sockets:
            one.close()
        raise
