"""One frame to many, written past their connections: whom it reaches, and what is left for whom it does not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from presence_server.application.fanout import HEAVY
from presence_server.listening import listen
from presence_server.transports.websocket.direct import SEND_BUFFER, OpenSockets
from support.raw import RawClient, message, upgrade
from support.server import Server, run_server

JSON, MSGPACK = b"a frame in JSON", b"one in msgpack"
CELEBRITY = 1


class Ends:
    """Both ends of a connection in slot `slot`."""

    def __init__(self, sockets: OpenSockets, slot: int) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        sockets.reserve(slot + 1)
        sockets.put(slot, self.ours.fileno())

    def fill(self) -> None:
        while True:
            try:
                self.ours.send(b"." * 4096)
            except BlockingIOError:
                return

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def sockets() -> OpenSockets:
    return OpenSockets()


@pytest.fixture
def ends(sockets: OpenSockets) -> Iterator[list[Ends]]:
    pairs = [Ends(sockets, slot) for slot in range(4)]
    yield pairs
    for pair in pairs:
        pair.close()


def test_each_gets_the_frame_of_its_codec(sockets: OpenSockets, ends: list[Ends]) -> None:
    assert sockets.write_all([0, 1, 3], (JSON, MSGPACK)) == []
    assert [ends[slot].theirs.recv(100) for slot in (0, 1, 3)] == [JSON, MSGPACK, MSGPACK]
    ends[2].theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        ends[2].theirs.recv(100)


def test_who_is_full_broken_or_gone_is_named_with_what_is_left_and_hurts_nobody(
    sockets: OpenSockets, ends: list[Ends]
) -> None:
    ends[0].fill()
    ends[1].theirs.close()
    sockets.forget(2)
    assert sockets.write_all([0, 1, 2, 3], (JSON, MSGPACK)) == [(0, JSON), (1, MSGPACK), (2, JSON)]
    assert ends[3].theirs.recv(100) == MSGPACK


def test_what_fits_in_part_is_sent_and_the_rest_is_named(sockets: OpenSockets, ends: list[Ends]) -> None:
    large = b"x" * 10_000_000
    ((slot, rest),) = sockets.write_all([0], (large, b""))
    assert slot == 0
    received = 0
    ends[0].theirs.setblocking(False)
    while True:
        try:
            received += len(ends[0].theirs.recv(1 << 20))
        except BlockingIOError:
            break
    assert 0 < received == len(large) - len(rest)


def test_a_slot_that_was_reserved_and_never_put_is_left(sockets: OpenSockets) -> None:
    sockets.reserve(2)
    assert sockets.write_all([0, 1], (JSON, MSGPACK)) == [(0, JSON), (1, MSGPACK)]


def test_what_the_kernel_keeps_for_a_connection_is_bounded() -> None:
    (listener,) = listen("127.0.0.1", 0)
    with listener, socket.create_connection(listener.getsockname()):
        listener.setblocking(True)
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * SEND_BUFFER


# -- a real celebrity ------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Server]:
    with run_server(min_publish_interval=0, compression=True, max_lag=2) as running:
        yield running
        assert not [line for line in running.log if '"level":"error"' in line]


def greeted(client: RawClient) -> RawClient:
    assert client.reply().status == 101
    while client.message()["type"] != "snapshot":
        pass
    return client


def label_of(client: RawClient) -> str:
    """What the next diff says of the celebrity."""
    (change,) = client.message()["changes"]
    assert change["userId"] == CELEBRITY
    label: str = change["statusText"]
    return label


def test_all_watchers_of_a_celebrity_are_told_of_each_change_in_order(server: Server) -> None:
    hello = message(type="hello", observer=True, watch=[CELEBRITY])
    offer = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    server.online(CELEBRITY)
    with ExitStack() as stack:
        fans = [stack.enter_context(RawClient(server)) for _ in range(HEAVY + 100)]
        for number, fan in enumerate(fans):
            fan.send(upgrade(offer if number % 100 == 0 else None))
        for fan in fans:
            fan.send(hello)
        for fan in fans:
            greeted(fan)
        leaving = fans.pop()
        for number in range(3):
            server.request("PUT", f"/status/{CELEBRITY}", {"status": "BUSY", "statusText": str(number)})
            for fan in fans:
                assert label_of(fan) == str(number)
            leaving.socket.close()
