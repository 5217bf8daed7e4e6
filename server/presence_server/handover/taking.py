"""The new server's side: asks the one that runs for its sockets and its state, and says when it is ready.

All of it blocks, at a time at which nobody is served yet.
"""

from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import Final

from presence_server.handover import wire
from presence_server.listening import adopted
from presence_server.logs import get_logger

PATIENCE: Final = 60.0
"""Seconds that the old server has for each step."""

_log = get_logger(__name__)


class NotGiven(Exception):
    """The server that runs does not give its place. Its text is one line for whoever started this one."""


class Taking:
    """One takeover, from the question to `ready`."""

    def __init__(self, folder: Path, connection: socket.socket, sockets: list[socket.socket]) -> None:
        self._folder = folder
        self._connection = connection
        self.sockets = sockets
        """What the old server listened on."""

    def wait_released(self) -> None:
        """Until the state's directory is nobody's. Raises NotGiven."""
        try:
            wire.receive(self._connection, wire.RELEASED["type"])
        except (OSError, wire.Refused) as failure:
            self.close()
            raise NotGiven(f"the server that runs does not give its state: {_words(failure)}") from None

    def ready(self) -> None:
        """This server accepts connections: the old one may send its clients over.

        Raises:
            NotGiven: it has waited for too long, and goes on by itself.
        """
        try:
            wire.send(self._connection, wire.READY)
        except OSError as failure:
            if _is_there(self._folder):
                raise NotGiven("the server that runs has taken its place again") from None
            _log.warning("the server before this one has ended by itself", reason=_words(failure))
        finally:
            self.close()

    def close(self) -> None:
        """Without `ready` the old server takes its place again."""
        self._connection.close()


def take(folder: Path, patience: float = PATIENCE) -> Taking | None:
    """Ask the server that holds `folder` for its place. None: no server runs there.

    Raises:
        NotGiven: one runs, and does not give it.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(patience)
    try:
        with wire.address(folder) as path:
            connection.connect(path)
    except OSError as failure:
        connection.close()
        if failure.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR):
            return None
        raise NotGiven(f"the server that runs cannot be asked: {_words(failure)}") from None
    try:
        if not wire.is_of_same_user(connection):
            raise wire.Refused("it is another user's")
        wire.send(connection, wire.TAKE)
        _, sockets = wire.receive(connection, "sockets")
    except (OSError, wire.Refused) as failure:
        connection.close()
        raise NotGiven(f"the server that runs does not give its place: {_words(failure)}") from None
    return Taking(folder, connection, [adopted(one) for one in sockets])


def _is_there(folder: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, wire.address(folder) as path:
        return probe.connect_ex(path) == 0


def _words(failure: Exception) -> str:
    return (failure.strerror if isinstance(failure, OSError) else None) or str(failure) or type(failure).__name__
