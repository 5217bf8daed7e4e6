"""Bytes as they may come: too large, too slow, too early at an end, or no HTTP at all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from support.rest import Line, Rest, check_refusal, exchange, head, post, refused
from support.server import BASE, Server, run_server

ONLINE = b'{"userId":10001,"deviceId":"device_123","platform":"WEB"}'
LIMIT = 262_144


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with run_server(hello_timeout=0.6) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """A server on which a user is online, before and after, with the device that the requests are about."""
    running.online(10001, "device_123")
    yield running
    assert running.status_of(10001) == "ONLINE"


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


CHUNKED = head("POST", "online", "Content-Type: application/json", "Transfer-Encoding: chunked").encode()


# -- large -----------------------------------------------------------------------------------------------------------


def test_a_body_of_just_the_limit_is_read(server: Server) -> None:
    body = ONLINE[:-1] + b" " * (LIMIT - len(ONLINE)) + b"}"
    assert len(body) == LIMIT
    assert exchange(server, post("online", body)).status == 200
    assert exchange(server, CHUNKED + chunked(*(body[at : at + 5000] for at in range(0, LIMIT, 5000)))).status == 200


@pytest.mark.parametrize("size", [LIMIT + 1, 10_000_000])
def test_a_body_over_the_limit_is_told_so_though_the_client_is_still_sending(server: Server, size: int) -> None:
    for request in (post("online", b" " * size), CHUNKED + chunked(*[b" " * 50_000] * (size // 50_000 + 1))):
        answer = exchange(server, request)
        (reason,) = refused(answer, 413, "payload_too_large", "body")
        assert str(LIMIT) in reason


def test_a_body_without_end_is_cut_off(server: Server) -> None:
    chunk = b"186a0\r\n" + b" " * 100_000 + b"\r\n"
    with Line(server) as line:
        line.send(CHUNKED)
        with pytest.raises(OSError, match=r"reset|[Pp]ipe"):
            line.send(chunk * 2000)  # 200 MB; it is the server that ends it
    assert server.resident_kb() < 200_000


@pytest.mark.parametrize(
    "request_head",
    [
        head("GET", "status/1", *(f"X-Header-{number}: {'x' * 1000}" for number in range(200))),
        head("GET", "status/1", f"X-Header: {'x' * 1_000_000}"),
        head("GET", f"status/{'1' * 1_000_000}"),
        head("GET", "status/1", *["X: y"] * 100_000),
        "\r\n" * 200_000,
    ],
    ids=["headers", "one header", "the path", "many headers", "empty lines"],
)
def test_a_head_without_end(server: Server, request_head: str) -> None:
    with Line(server) as line:
        try:
            line.send(request_head[:-4])
        except OSError:
            return  # closed while still sending: the answer may be lost with it
        try:
            answer = line.answer()
        except ConnectionResetError:
            return
        refused(answer, 431, "request_header_fields_too_large", "request")
        assert answer.headers["Connection"] == "close"


def test_a_head_that_is_somewhat_too_large_is_told_so(server: Server) -> None:
    with Line(server) as line:
        line.send(head("GET", "status/1")[:-2])
        line.send(f"X-Header: {'x' * 66_000}")
        refused(line.answer(), 431, "request_header_fields_too_large", "request")
        assert line.is_closed()


def test_trailers_are_ignored_and_may_not_grow(server: Server) -> None:
    body = chunked(ONLINE)[:-2]
    answer = exchange(server, CHUNKED + body + b"Content-Type: text/plain\r\nX: y\r\n\r\n")
    assert answer.status == 200
    with Line(server) as line:
        line.send(CHUNKED + body)
        line.send(b"X: " + b"y" * 66_000)
        # If they come in one read with the body they are not over the limit yet, and are only too slow.
        assert line.answer().status in (408, 431)


# -- slow ------------------------------------------------------------------------------------------------------------


def test_a_head_a_byte_at_a_time_is_given_up(server: Server) -> None:
    with Line(server) as line:
        line.trickle(head("GET", "status/1")[:60])
        refused(line.answer(), 408, "request_timeout", "request")
        assert line.is_closed()


def test_a_connection_without_a_word_is_closed(server: Server) -> None:
    with Line(server) as line:
        started = time.monotonic()
        assert line.is_closed()
        assert time.monotonic() - started < 3


def test_empty_lines_do_not_keep_a_connection(server: Server) -> None:
    with Line(server) as line:
        line.trickle("\r\n" * 25)
        assert line.is_closed()


def test_a_body_a_byte_at_a_time_is_given_up(server: Server) -> None:
    with Line(server) as line:
        line.send(head("POST", "online", "Content-Type: application/json", f"Content-Length: {len(ONLINE)}"))
        line.trickle(ONLINE[:-10], 0.03)
        answer = line.answer()
        assert refused(answer, 408, "request_timeout", "body") == ["did not arrive in time"]
        assert answer.headers["Connection"] == "close"
        assert line.is_closed()


def test_a_request_a_byte_at_a_time_is_served_if_it_comes_in_time(server: Server) -> None:
    with Line(server) as line:
        line.trickle(post("online", ONLINE), 0.001)
        assert line.answer().status == 200


def test_a_next_head_that_is_slow_does_not_spoil_a_long_poll(server: Server) -> None:
    poll = server.post("/changes", {"userIds": [20001]}).data
    body = json.dumps({"userIds": [20001], "cursor": poll["cursor"], "waitMs": 1500}).encode()
    with Line(server) as line:
        line.send(post("changes", body) + b"GET /hea")
        assert line.answer().data["changes"] == []
        line.send(b"lthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert line.answer().json["status"] == "ok"


# -- ended early -----------------------------------------------------------------------------------------------------


def test_a_truncated_body(server: Server) -> None:
    for request in (post("offline", ONLINE)[:-10], CHUNKED + b"39\r\n" + ONLINE[:20]):
        with Line(server) as line:
            line.send(request)
            line.end()
            assert refused(line.answer(), 400, "invalid_request", "body") == ["ended early"]
            assert line.is_closed()


def test_a_truncated_head(server: Server) -> None:
    with Line(server) as line:
        line.send(head("GET", "status/1")[:30])
        line.end()
        assert refused(line.answer(), 400, "invalid_request", "request") == ["ended early"]


def test_a_client_that_is_gone_before_its_answer(server: Server) -> None:
    for _ in range(50):
        with Line(server) as line:
            line.send(post("online", ONLINE))
    assert server.get("/status/10001").status == 200


# -- no HTTP ---------------------------------------------------------------------------------------------------------

NO_HTTP = {
    "garbage": b"\x00\x01\x02\x03\r\n\r\n",
    "TLS": bytes.fromhex("1603010200010001fc0303") + b"\x00" * 200,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a version that is none": b"GET /healthz HTTP/9.9\r\n\r\n",
    "spaces in the path": b"GET /health z HTTP/1.1\r\n\r\n",
    "a header without a colon": b"GET /healthz HTTP/1.1\r\nHost\r\n\r\n",
    "a negative length": post("online", ONLINE).replace(b"Content-Length: ", b"Content-Length: -"),
    "a length that is no number": post("online", ONLINE).replace(b"Content-Length: ", b"Content-Length: x"),
    "two lengths": post("online", ONLINE, "Content-Length: 5"),
    "a length and chunks": post("online", ONLINE, "Transfer-Encoding: chunked"),
    "a chunk of no length": CHUNKED + b"xyz\r\n" + ONLINE + b"\r\n0\r\n\r\n",
    "raw UTF-8 in the path": head("GET", "status/１").encode(),
    "a proxy's CONNECT": b"CONNECT example.org:443 HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("data", NO_HTTP.values(), ids=NO_HTTP.keys())
def test_what_is_no_http(server: Server, data: bytes) -> None:
    with Line(server) as line:
        line.send(data)
        answer = line.answer()
        refused(answer, 400, "invalid_request", "request")
        assert answer.headers["Connection"] == "close"
        assert line.is_closed()


def test_garbage_after_a_whole_request_does_not_take_its_answer_away(server: Server) -> None:
    with Line(server) as line:
        line.send(post("status/batch", b'{"userIds":[10001]}') + b"\x00garbage\r\n\r\n")
        assert line.answer().data == [{"userId": 10001, "status": "ONLINE"}]
        assert line.is_closed()


def test_a_content_length_that_is_too_short_leaves_a_truncated_body(server: Server) -> None:
    body = '{"userId":10001,"deviceId":"设备","platform":"WEB"}'
    request = head("POST", "online", "Content-Type: application/json", f"Content-Length: {len(body)}") + body
    with Line(server) as line:
        line.send(request)
        refused(line.answer(), 400, "invalid_request", "body")


UNDONE = {
    "a coding of the transfer": (
        post("online", ONLINE, "Transfer-Encoding: gzip").replace(b"Content-Length", b"X"),
        501,
    ),
    "two codings": (post("online", ONLINE, "Transfer-Encoding: gzip, chunked").replace(b"Content-Length", b"X"), 501),
    "a compressed body": (post("online", ONLINE, "Content-Encoding: gzip"), 415),
    "no host": (post("online", ONLINE).replace(b"Host: 127.0.0.1", b"X: y"), 400),
    "two hosts": (post("online", ONLINE, "Host: 127.0.0.1"), 400),
}


@pytest.mark.parametrize("case", UNDONE)
def test_what_is_not_done_here_is_said_so(server: Server, case: str) -> None:
    request, status = UNDONE[case]
    answer = exchange(server, request)
    check_refusal(answer)
    assert answer.status == status
    (detail,) = answer.data["details"]
    assert detail["field"] in ("Transfer-Encoding", "Content-Encoding", "Host")
    assert ("Accept-Encoding" in answer.headers) is (status == 415)


# -- versions, upgrades ----------------------------------------------------------------------------------------------


def test_http_1_0(server: Server) -> None:
    with Line(server) as line:
        line.send(f"GET {BASE}/status/10001 HTTP/1.0\r\n\r\n")
        assert line.answer().data["status"] == "ONLINE"
        assert line.is_closed()


def test_connection_close_is_kept_to(server: Server) -> None:
    with Line(server) as line:
        line.send(head("GET", "status/10001", "Connection: close"))
        answer = line.answer()
        assert answer.data["status"] == "ONLINE"
        assert answer.headers["Connection"] == "close"
        assert line.is_closed()


def test_a_client_that_asks_before_it_sends_is_told_to_go_on(server: Server) -> None:
    with Line(server) as line:
        asked = head("POST", "online", f"Content-Length: {len(ONLINE)}", "Expect: 100-continue")
        line.send(asked)
        assert line.makefile("rb").readline() == b"HTTP/1.1 100 Continue\r\n"
        line.makefile("rb").readline()
        line.send(ONLINE)
        assert line.answer().status == 200


def test_an_upgrade_to_something_else_is_served_as_plain_http(server: Server) -> None:
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    with Line(server) as line:
        line.send(head("GET", "status/10001", *upgrade))
        assert line.answer().data["status"] == "ONLINE"
        line.send(post("status/batch", b'{"userIds":[10001]}', *upgrade))
        assert line.answer().data == [{"userId": 10001, "status": "ONLINE"}]
        line.send(post("status/batch", b'{"userIds":[10001]}', "Connection: Upgrade, close", "Upgrade: h2c")[:-5])
        line.send(b"001]}")
        assert line.answer().data == [{"userId": 10001, "status": "ONLINE"}]
        assert line.is_closed()


# -- the server's side -----------------------------------------------------------------------------------------------


def test_connections_that_come_and_go_leave_nothing_behind(server: Server) -> None:
    def some(count: int) -> None:
        for _ in range(count):
            with Line(server) as line:
                line.send(post("online", ONLINE)[:-5])

    some(300)
    before = server.resident_kb()
    some(2000)
    assert Rest(server).get("/status/10001").status == 200
    assert server.resident_kb() - before < 4000
