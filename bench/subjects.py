"""The subjects of idle, broadcast, graph and growth: us, the floor and the peers, each under the same load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from generator import Generator, generating, was_bottleneck
from lab import PRESENCE_SERVER, Spread, WrongResult, compiled, free_port, raise_file_limit, serving
from peers import Peer, PeerUnavailable

PEER_FAILED = (PeerUnavailable, WrongResult, RuntimeError)
"""A peer that cannot be had, gives up or does not deliver has no figures; its row says why, and the others go on."""

EVERYONE_WATCHES_THE_FIRST = -1
DEFAULT_FRAME = 200
"""Bytes, where it does not matter: about what a message with one change has."""


def _nothing() -> None:
    """There is nothing to install."""


def ours(*flags: str) -> Peer:
    # A user who flaps is published once a second at most; here each change is to be delivered.
    command = [*PRESENCE_SERVER, "--min-publish-interval", "0", *flags]
    return Peer("presence-server", "raw", _nothing, lambda port, window: [*command, "--port", str(port)])


def floor(frame: int = DEFAULT_FRAME) -> Peer:
    """The C loop; each of its messages has `frame` bytes."""
    return Peer("C floor", "raw", _nothing, lambda port, window: [str(compiled("floor")), str(port), str(frame)])


@dataclass
class Loaded:
    """A server with its connections open, and what drives them."""

    name: str
    pid: int
    generator: Generator
    notes: list[str]

    def run(self, command: str) -> dict[str, Any]:
        """One command of load/load.c; what it answers, and `cpu`: seconds of the server's CPU.

        Raises:
            WrongResult: not every watcher holds the last change of each user it watches.
        """
        result = self.generator.measured(self.pid, command)
        if result["behind"]:
            raise WrongResult(f"{self.name}: {result['behind']} watchers do not know the last change ({command})")
        self.notes += [note for note in was_bottleneck(result) if note not in self.notes]
        return result

    def turns(self, changes: int, watchers: int) -> dict[str, Any]:
        """Changes of the first user to all the others.

        Raises:
            WrongResult: not every watcher was told of every change.
        """
        result = self.run(f"turns {changes}")
        if result["delivered"] != changes * watchers:
            raise WrongResult(f"{self.name}: {result['delivered']} deliveries of {changes * watchers}")
        return result

    def pour(self, writes: int, size: int, seconds: float) -> dict[str, Any]:
        """What that many writes cost the floor.

        Raises:
            WrongResult: another number of frames arrived.
        """
        result = self.run(f"pour {writes} {size} {seconds:.3f}")
        if result["frames"] != writes or result["bytes"] != writes * size:
            raise WrongResult(f"{self.name}: {result['frames']} frames of {writes}")
        return result


@contextmanager
def crowd(subject: Peer, port: int, connections: int, watched: int, number: int = 1) -> Iterator[Generator]:
    """So many connections, all welcomed."""
    with generating("load", port, subject.dialect, connections, watched, number) as generator:
        if generator.result()["connected"] != connections:
            raise WrongResult(f"{subject.name}: not all were welcomed")
        yield generator


@contextmanager
def loaded(subject: Peer, connections: int, watched: int, window: int = 0) -> Iterator[Loaded]:
    """A subject that runs and has its connections.

    Raises:
        PeerUnavailable: it cannot be had here.
    """
    raise_file_limit()
    subject.install()
    port = free_port()
    with serving(subject.command(port, window), port) as process, crowd(subject, port, connections, watched) as load:
        yield Loaded(subject.name, process.pid, load, [])


def scaled(spread: Spread, by: float) -> Spread:
    return Spread(spread.median * by, spread.low * by, spread.high * by)


def beside_floor(us: Loaded, base: Loaded, rate: float, seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """A stretch of the graph, and what as many writes of the same mean size cost the floor in the same time."""
    result = us.run(f"graph {rate} {round(rate * seconds)}")
    size = round(result["bytes"] / result["frames"])
    return result, base.pour(result["frames"], size, result["seconds"])
