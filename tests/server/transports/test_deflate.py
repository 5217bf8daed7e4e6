"""permessage-deflate: what is agreed on, what is compressed, and that no bomb goes off."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from presence_server.transports.websocket.connection import WebSocketConnection
from presence_server.transports.websocket.deflate import LEAST, Deflation
from presence_server.transports.websocket.frames import PING, frame, pong_frame, sent_frames, text_frame
from support.client import Client
from support.raw import CONTINUATION, FIN, RSV1, TEXT, RawClient, message, upgrade
from support.raw import PING as PING_OPCODE
from support.raw import frame as masked
from support.server import Server, run_server
from support.transport import Wire

OFFER = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
HELLO = message(type="hello", userId=1, deviceId="d", platform="WEB", watch=list(range(2, 102)))
LIMIT = 262_144


def deflated(payload: bytes) -> bytes:
    compressor = zlib.compressobj(9, wbits=-15)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflated(data: bytes) -> bytes:
    return zlib.decompressobj(-15).decompress(data + b"\0\0\xff\xff")


def read(data: bytes) -> list[tuple[bool, bytes]]:
    """Whether each frame came compressed, and its payload."""
    return [(bool(head & RSV1), inflated(payload) if head & RSV1 else payload) for head, payload in sent_frames(data)]


def opened(**settings: Any) -> Wire:
    """A connection that agreed on it, and said hello."""
    wire = Wire(OFFER, compression=True, **settings)
    wire.receive(HELLO)
    wire.transport.writes.clear()
    return wire


# -- the agreement ---------------------------------------------------------------------------------------------------


ANSWER = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"


@pytest.mark.parametrize(
    ("offered", "answered"),
    [
        ("permessage-deflate", ANSWER),
        ("permessage-deflate; client_max_window_bits", ANSWER),
        ("permessage-deflate; client_max_window_bits=10", ANSWER + b"; client_max_window_bits=10"),
        ("permessage-deflate; server_max_window_bits=15", ANSWER + b"; server_max_window_bits=15"),
        ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", ANSWER),
        ("permessage-deflate, permessage-deflate", ANSWER),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", ANSWER),
        ("x-webkit-deflate-frame, permessage-deflate", ANSWER),
        ("permessage-deflate; server_max_window_bits=14", None),
        ("permessage-deflate; server_max_window_bits=8", None),
        ("permessage-deflate; unheard_of", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("x-webkit-deflate-frame", None),
        (None, None),
    ],
)
def test_what_is_agreed_on(offered: str | None, answered: bytes | None) -> None:
    """Without context takeover on either side, whatever is offered."""
    wire = Wire({"Sec-WebSocket-Extensions": offered}, compression=True)
    line = None if answered is None else b"Sec-WebSocket-Extensions: " + answered + b"\r\n"
    assert (line in wire.handshake) if line else b"Sec-WebSocket-Extensions" not in wire.handshake
    assert (type(wire.connection) is WebSocketConnection) is (answered is None)


def test_it_is_off_by_default() -> None:
    wire = Wire(OFFER)
    assert b"Sec-WebSocket-Extensions" not in wire.handshake
    wire.receive(HELLO)
    assert [compressed for compressed, _ in read(wire.transport.written)] == [False, False]
    wire.receive(masked(TEXT, deflated(b'{"type":"ping"}'), head=FIN | RSV1))
    assert b"reserved bits must be 0" in wire.transport.written


def test_an_idle_connection_keeps_nothing_of_it() -> None:
    wire = opened()
    assert not hasattr(wire.connection, "__dict__")
    wire.receive(masked(TEXT, deflated(b'{"type":"ping","id":1}'), head=FIN | RSV1))
    assert wire.connection._ws is None


# -- out -------------------------------------------------------------------------------------------------------------


def test_long_messages_are_compressed_and_short_ones_are_not() -> None:
    wire = opened()
    wire.receive(message(type="ping", id=1))
    wire.receive(message(type="query", userIds=list(range(1, 101)), id=2))
    wire.receive(masked(PING_OPCODE, b"?"))
    (is_compressed, pong), (is_long_compressed, statuses), (is_control_compressed, _) = read(wire.transport.written)
    assert (is_compressed, is_long_compressed, is_control_compressed) == (False, True, False)
    assert json.loads(pong) == {"type": "pong", "id": 1}
    assert len(json.loads(statuses)["statuses"]) == 100
    assert len(wire.transport.written) < len(statuses) / 4


def test_several_messages_in_one_write_are_compressed_one_by_one() -> None:
    wire = Wire(OFFER, compression=True)
    wire.receive(HELLO)
    (written,) = wire.transport.writes
    told = [(compressed, json.loads(payload)["type"]) for compressed, payload in read(written)]
    assert told == [(False, "welcome"), (True, "snapshot")]


def test_what_goes_to_many_is_compressed_once() -> None:
    deflation = Deflation(LIMIT, None)
    shared = [frame(opcode, bytes(5000)) for opcode in (1, 2)]
    with patch("presence_server.transports.websocket.deflate.zlib.compressobj", wraps=zlib.compressobj) as compress:
        results = [{id(deflation.compressed(one)) for _ in range(100) for one in shared[number:]} for number in (0, 1)]
    assert [len(ids) for ids in results] == [2, 1]
    assert compress.call_count == 2
    assert read(deflation.compressed(shared[0])) == [(True, bytes(5000))]


pieces = st.one_of(
    st.binary(max_size=300).map(text_frame),
    st.integers(LEAST - 3, LEAST + 3).map(lambda size: text_frame(b"y" * size)),
    st.integers(65_530, 65_540).map(lambda size: frame(2, b"z" * size)),
    st.just(PING),
    st.binary(max_size=125).map(pong_frame),
)


@given(st.lists(pieces, max_size=5), st.lists(pieces, max_size=5))
def test_frames_stay_what_they_were(first: list[bytes], second: list[bytes]) -> None:
    deflation = Deflation(LIMIT, None)
    for frames in (b"".join(first), b"".join(second), b"".join(first)):
        sent = deflation.compressed(frames)
        assert [payload for _, payload in read(sent)] == [payload for _, payload in sent_frames(frames)]
        assert [head & ~RSV1 for head, _ in sent_frames(sent)] == [head for head, _ in sent_frames(frames)]
        assert len(sent) <= len(frames)


# -- in --------------------------------------------------------------------------------------------------------------


def test_a_compressed_message_comes_in_whole_in_fragments_and_byte_by_byte() -> None:
    wire = opened()
    data = deflated(b'{"type":"ping","id":7}')
    whole = masked(TEXT, data, head=FIN | RSV1)
    in_fragments = (
        masked(TEXT, data[:4], head=RSV1)
        + masked(PING_OPCODE, b"")
        + masked(CONTINUATION, b"", head=0)
        + masked(CONTINUATION, data[4:])
    )
    for stream in (whole, whole + whole, in_fragments, in_fragments + whole, message(type="ping", id=7) + whole):
        wire.receive(stream)
        assert wire.connection._ws is None
        for byte in stream:
            wire.receive(bytes((byte,)))
    pongs = [payload for _, payload in read(wire.transport.written) if payload]
    assert pongs == [b'{"type":"pong","id":7}'] * 16


def test_connections_that_share_parsers_do_not_mix_their_messages() -> None:
    one = opened()
    data = deflated(b'{"type":"ping","id":1}')
    other = WebSocketConnection(one.gateway.websockets)
    other.connection_made(one.transport)  # type: ignore[arg-type]
    other.data_received(upgrade(OFFER))
    one.receive(masked(TEXT, data[:5], head=RSV1))
    assert one.connection._ws is not None
    other.data_received(masked(TEXT, deflated(b'{"type":"hello","observer":true}'), head=FIN | RSV1))
    assert other._ws is None
    one.receive(masked(CONTINUATION, data[5:]))
    assert json.loads(read(one.transport.writes[-1])[0][1]) == {"type": "pong", "id": 1}


def close_code(wire: Wire) -> int:
    wire.settle()
    head, payload = list(sent_frames(wire.transport.written))[-1]
    assert head == 0x88
    return int.from_bytes(payload[:2], "big")


def test_what_needs_an_earlier_message_is_refused() -> None:
    """That is: a client that takes over its context, although it was told not to."""
    wire = opened()
    compressor = zlib.compressobj(wbits=-15)
    for id in (1, 2):
        data = compressor.compress(b'{"type":"ping","id":%d}' % id) + compressor.flush(zlib.Z_SYNC_FLUSH)
        wire.receive(masked(TEXT, data[:-4], head=FIN | RSV1))
    assert close_code(wire) == 1002


@pytest.mark.parametrize("data", [b"\xff\xff", b"no deflate", b""])
def test_what_is_not_deflate_is_refused(data: bytes) -> None:
    wire = opened()
    wire.receive(masked(TEXT, data, head=FIN | RSV1))
    assert close_code(wire) in (1002, 4400)  # nothing at all inflates to nothing, which is no message


def padded(size: int) -> bytes:
    return b'{"type":"ping","id":9}'.ljust(size)


@pytest.mark.parametrize("fragments", [1, 2, 3, 50])
def test_the_limit_holds_for_what_a_message_inflates_to(fragments: int) -> None:
    for size, is_let_in in ((LIMIT, True), (LIMIT + 1, False), (100 * LIMIT, False)):
        wire = opened()
        data = deflated(padded(size))
        step = -(-len(data) // fragments)
        parts = [data[start : start + step] for start in range(0, len(data), step)]
        for index, part in enumerate(parts):
            opcode, head = (CONTINUATION, 0) if index else (TEXT, RSV1)
            wire.receive(masked(opcode, part, head=head | (FIN if index == len(parts) - 1 else 0)))
        if is_let_in:
            wire.settle()
            assert read(wire.transport.written)[-1][1] == b'{"type":"pong","id":9}'
        else:
            assert close_code(wire) == 1009


def test_what_waits_to_be_handled_stays_small() -> None:
    """A read of 60 KB may inflate to 60 MB; little more than two messages of it may be there at once."""
    wire = opened()
    bomb = masked(TEXT, deflated(padded(LIMIT)), head=FIN | RSV1)
    held = []
    handle = wire.gateway.hub.handle

    def spy(*arguments: Any) -> Any:
        held.append(sum(len(one.data) for one in wire.connection._frames))
        return handle(*arguments)

    with patch.object(wire.gateway.hub, "handle", spy):
        wire.receive(bomb * (60_000 // len(bomb)))
        wire.settle()
    assert len(held) == 60_000 // len(bomb)
    assert max(held) <= 2 * LIMIT


# -- over real sockets -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(compression=True, min_publish_interval=0, grace_period=0.4) as running:
        yield running
        assert not [line for line in running.log if '"level":"error"' in line]


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_a_library_and_the_server_understand_each_other(server: Server, codec: str) -> None:
    async def story() -> None:
        watcher = await Client.observe(server, list(range(1000, 1400)), codec)
        (extension,) = watcher.connection.protocol.extensions
        assert repr(extension) == (
            "PerMessageDeflate(remote_no_context_takeover=True, local_no_context_takeover=True, "
            "remote_max_window_bits=15, local_max_window_bits=15)"
        )
        assert len((await watcher.receive("snapshot"))["statuses"]) == 400
        people = [await Client.hello(server, user_id, codec=codec) for user_id in range(1000, 1030)]
        online: set[int] = set()
        while len(online) < len(people):
            changes = (await watcher.receive("diff"))["changes"]
            online.update(change["userId"] for change in changes if change["status"] == "ONLINE")
        answer = await watcher.ask(type="query", userIds=list(range(1000, 2000)))
        assert sum(entry["status"] == "ONLINE" for entry in answer["statuses"]) == len(people)
        for client in (*people, watcher):
            await client.close()

    asyncio.run(story())


def test_a_bomb_is_refused_with_1009(server: Server) -> None:
    async def story() -> None:
        async with connect(server.ws_url, proxy=None) as client:
            await client.send(b" " * 10_000_000, text=True)
            with pytest.raises(ConnectionClosedError) as closed:
                await client.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009

    asyncio.run(story())


def test_who_offers_nothing_gets_nothing(server: Server) -> None:
    with RawClient(server) as client:
        client.send(upgrade())
        assert "Sec-WebSocket-Extensions" not in client.reply().head
        client.send(message(type="hello", observer=True, watch=list(range(1, 500))))
        assert client.message()["type"] == "welcome"
        assert len(client.message()["statuses"]) == 499
