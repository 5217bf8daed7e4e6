"""Frames that a library would never send, and messages that come in unusual ones, over real sockets."""

import time
from collections.abc import Iterator

import pytest

from support.raw import BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, RSV1, TEXT, RawClient, frame, message
from support.server import Server, run_server

PING_MESSAGE = b'{"type":"ping","id":7}'
PONG_MESSAGE = {"type": "pong", "id": 7}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(grace_period=0.5, hello_timeout=1) as running:
        yield running
        assert not [line for line in running.log if '"level":"error"' in line]


def test_a_message_in_fragments_with_a_ping_between_them(server: Server) -> None:
    with RawClient.observer(server) as client:
        client.send(frame(TEXT, PING_MESSAGE[:5], head=0))
        client.send(frame(CONTINUATION, b"", head=0) + frame(PING, b"still there?"))
        assert client.frame() == (PONG, b"still there?")
        client.send(frame(CONTINUATION, PING_MESSAGE[5:9], head=0) + frame(CONTINUATION, PING_MESSAGE[9:]))
        assert client.message() == PONG_MESSAGE
        client.send(frame(TEXT, PING_MESSAGE, head=0) + frame(CONTINUATION, b""))
        assert client.message() == PONG_MESSAGE


def test_a_message_byte_by_byte_and_many_at_once(server: Server) -> None:
    with RawClient.observer(server) as client:
        for byte in frame(TEXT, PING_MESSAGE):
            client.send(bytes((byte,)))
        assert client.message() == PONG_MESSAGE
        client.send(b"".join(message(type="ping", id=number) for number in range(1000)))
        assert [client.message()["id"] for _ in range(1000)] == list(range(1000))


def test_a_long_way_to_say_a_length_and_a_mask(server: Server) -> None:
    with RawClient.observer(server) as client:
        mask = b"\x01\x80\xff\x07"
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(PING_MESSAGE))
        client.send(b"\x81\xfe" + len(masked).to_bytes(2, "big") + mask + masked)
        assert client.message() == PONG_MESSAGE


def test_pings_are_answered_before_hello_too(server: Server) -> None:
    with RawClient.upgraded(server) as client:
        client.send(frame(PING, b"x" * 125))
        assert client.frame() == (PONG, b"x" * 125)
        client.send(frame(PONG, b"nobody asked"))
        assert client.close_code() == 4504  # and are no hello


BROKEN = {
    "not masked": (b"\x81\x02{}", 1002),
    "a reserved bit": (frame(TEXT, PING_MESSAGE, head=FIN | RSV1), 1002),
    "a reserved opcode": (frame(0x3, PING_MESSAGE), 1002),
    "a reserved control opcode": (frame(0xB, b""), 1002),
    "a ping of 126 bytes": (frame(PING, b"x" * 126), 1002),
    "a ping in fragments": (frame(PING, b"x", head=0), 1002),
    "a continuation of nothing": (frame(CONTINUATION, PING_MESSAGE), 1002),
    "a message inside of a message": (frame(TEXT, b"{", head=0) + frame(TEXT, PING_MESSAGE), 1002),
    "a close frame of one byte": (frame(CLOSE, b"x"), 1002),
    "a close code that is reserved": (frame(CLOSE, (1005).to_bytes(2, "big")), 1002),
    "a close code that is none": (frame(CLOSE, (99).to_bytes(2, "big")), 1002),
    "a close reason that is not UTF-8": (frame(CLOSE, (1000).to_bytes(2, "big") + b"\xff"), 1007),
    "a length of 2^63": (b"\x81\xff" + b"\x80" + bytes(7) + bytes(4), 1009),
    "a length of a gigabyte": (b"\x81\xff" + (2**30).to_bytes(8, "big") + bytes(4), 1009),
    "a byte too many": (frame(TEXT, b" " * 262_145), 1009),
    "a byte too many, in fragments": (
        frame(TEXT, b" " * 200_000, head=0) + frame(CONTINUATION, b" " * 62_145),
        1009,
    ),
    "text that is not UTF-8": (frame(TEXT, b'{"type":"ping","x":"\xff"}'), 1007),
    "a fragment that is not UTF-8, before the rest": (frame(TEXT, b'{"type":"ping","x":"\xff', head=0), 1007),
    "half of a surrogate": (frame(TEXT, b'{"type":"ping","x":"\xed\xa0', head=0), 1007),
    "binary where text is due": (frame(BINARY, PING_MESSAGE), 4400),
    "nothing at all": (frame(TEXT, b""), 4400),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_frame_ends_its_connection_and_its_code_arrives(server: Server, case: str) -> None:
    """What came before it is answered, what comes after it is not; and the client is still sending."""
    data, code = BROKEN[case]
    with RawClient.observer(server) as client:
        client.send(message(type="ping", id=1) + data + message(type="ping", id=2) * 500)
        assert client.message() == {"type": "pong", "id": 1}
        opcode, payload = client.frame()
        assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, code)
        assert client.ended()


@pytest.mark.parametrize("case", ["a reserved bit", "a byte too many", "text that is not UTF-8"])
def test_a_device_whose_client_breaks_the_protocol_is_in_grace(server: Server, case: str) -> None:
    with RawClient.upgraded(server) as client:
        client.send(message(type="hello", userId=31, deviceId="d", platform="WEB") + BROKEN[case][0])
        assert client.close_code() == BROKEN[case][1]
        assert server.status_of(31) == "ONLINE"
        give_up = time.monotonic() + 5
        while server.status_of(31) == "ONLINE":
            assert time.monotonic() < give_up
            time.sleep(0.02)


@pytest.mark.parametrize(("code", "status"), [(None, "OFFLINE"), (1000, "OFFLINE"), (1001, "ONLINE"), (3001, "ONLINE")])
def test_the_close_frame_is_answered_and_says_whether_the_device_ends(
    server: Server, code: int | None, status: str
) -> None:
    user_id = 40 + (code or 0)
    with RawClient.upgraded(server) as client:
        client.send(message(type="hello", userId=user_id, deviceId="d", platform="WEB"))
        assert client.message()["type"] == "welcome"
        client.send(message(type="ping", id=1) + frame(CLOSE, b"" if code is None else code.to_bytes(2, "big")))
        assert client.message() == {"type": "pong", "id": 1}
        assert client.close_code() == (code or 1005)
        assert client.ended()
        assert server.status_of(user_id) == status


def test_nothing_is_done_after_bye(server: Server) -> None:
    with RawClient.upgraded(server) as client:
        hello = message(type="hello", userId=32, deviceId="d", platform="WEB")
        client.send(hello + message(type="bye", id=1) + message(type="status", status="BUSY", id=2) + hello)
        assert client.message()["type"] == "welcome"
        assert client.frame()[0] == CLOSE
        assert client.ended()
        assert server.status_of(32) == "OFFLINE"
        assert server.request("GET", "/status/32").data["devices"] == []


def test_a_thousand_messages_and_then_the_end_of_the_stream(server: Server) -> None:
    """Whoever says bye and hangs up at once is heard, however much was said before."""
    with RawClient.upgraded(server) as client:
        client.send(
            message(type="hello", userId=33, deviceId="d", platform="WEB")
            + message(type="activity", idle=True) * 1000
            + message(type="bye")
        )
        client.socket.shutdown(1)
        assert client.close_code() == 1000
        assert server.status_of(33) == "OFFLINE"
