"""Writing straight to the socket, past the event loop's transport.

uvloop's `write` comes down to the same system call; without what is around it a broadcast cost 1.41 times a C loop over
`send()` instead of 1.47 times, and it is 1.18 times where one frame goes to all from an array of descriptors. What does
not fit the socket is left to the transport, which then pauses us (its high-water mark is 0): until it resumes us all
goes through it, so that no byte overtakes another.
"""

from __future__ import annotations

import asyncio
import os
from array import array
from collections.abc import Collection
from typing import Final, cast

from presence_server.application.tallies import Traffic
from presence_server.transports.addresses import is_tls

SEND_BUFFER: Final = 64 * 1024
"""Bytes asked of the kernel for each socket (it doubles them), by the listener, from whom connections inherit it. Left
alone, a blocked watcher holds 4 MB there."""

RECEIVE_BUFFER: Final = 32 * 1024
"""Bytes asked of the kernel for what arrives, likewise. Left alone it grows to 6 MB for each socket, and one read takes
up to 256 KB of that, which is held by whoever waits for a turn."""


class DirectProtocol(asyncio.Protocol):
    """A protocol that writes directly where that may be."""

    __slots__ = ("_descriptor", "_is_closing", "_traffic", "_transport")

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._transport: asyncio.Transport | None = None
        self._descriptor = -1  # -1 where it may not be used, or not now
        self._is_closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # Under TLS the buffer is full when it reaches the mark, not when it passes it: 0 would pause an empty one.
        self._transport.set_write_buffer_limits(high=1 if is_tls(transport) else 0, low=0)
        self._find_descriptor()

    def connection_lost(self, exc: Exception | None) -> None:
        # The descriptor is closed after this, and may then be another connection's.
        self._transport, self._descriptor = None, -1

    def pause_writing(self) -> None:
        self._descriptor = -1

    def resume_writing(self) -> None:
        self._find_descriptor()

    def _find_descriptor(self) -> None:
        """Under TLS bytes are the transport's to encrypt; and what waits in it goes first."""
        transport = self._transport
        if transport is None or is_tls(transport):
            return
        raw = transport.get_extra_info("socket")
        if raw is not None and not transport.get_write_buffer_size():
            self._descriptor = raw.fileno()

    def write(self, frame: bytes) -> None:
        if self._transport is None or self._is_closing:
            return
        traffic = self._traffic
        traffic.writes += 1
        traffic.sent += len(frame)
        if self._descriptor >= 0:
            try:
                sent = os.write(self._descriptor, frame)
            except OSError:
                sent = 0  # the socket is full, or broken: the transport sees to either
            if sent == len(frame):
                return
            frame = frame[sent:]
        self._transport.write(frame)
        self._keep_count()

    def _keep_count(self) -> None:
        """Something did not fit the socket."""


class OpenSockets:
    """The descriptors that may be written to now, by the slot of their outlet: `Sockets` for the fan-out.

    They lie in one array, so that a change to thousands leaves the cache to the kernel: 1.18 times a C loop over
    `send()`, where asking each connection to write came to 1.4.
    """

    def __init__(self) -> None:
        self._descriptors = array("i")
        self.traffic = Traffic()

    def reserve(self, slots: int) -> None:
        self._descriptors.extend([-1] * (slots - len(self._descriptors)))

    def put(self, slot: int, descriptor: int) -> None:
        """`descriptor` is -1 while the connection itself has to be asked."""
        self._descriptors[slot] = descriptor

    def forget(self, slot: int) -> None:
        self._descriptors[slot] = -1

    def write_all(self, slots: Collection[int], frames: tuple[bytes, bytes]) -> list[tuple[int, bytes]]:
        rest: list[tuple[int, bytes]] = []
        descriptors, write = self._descriptors, os.write
        for slot in slots:
            descriptor, frame = descriptors[slot], frames[slot & 1]
            try:
                sent = write(descriptor, frame) if descriptor >= 0 else 0
            except OSError:
                sent = 0  # full or broken: its connection will find out
            if sent != len(frame):
                rest.append((slot, frame[sent:]))
        self._count(slots, frames, rest)
        return rest

    def _count(self, slots: Collection[int], frames: tuple[bytes, bytes], rest: list[tuple[int, bytes]]) -> None:
        """Of the rest each connection counts what it writes."""
        json, msgpack = map(len, frames)
        odd = sum(slot & 1 for slot in slots) if json and msgpack else len(slots) if msgpack else 0
        self.traffic.sent += odd * msgpack + (len(slots) - odd) * json - sum(len(left) for _, left in rest)
        self.traffic.writes += len(slots) - len(rest)
