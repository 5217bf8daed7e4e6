"""What a head asks for, and what of it is refused."""

from __future__ import annotations

import pytest

from presence_server.transports.http.heads import CHUNKED, BadHead, Target, Wishes, read_target, read_wishes, with_host

HOST = (b"host", b"localhost:8004")


@pytest.mark.parametrize(
    ("method", "url", "target"),
    [
        (b"GET", b"/a/b", Target("/a/b", b"/a/b", b"")),
        (b"GET", b"/a%20b?c=%20", Target("/a b", b"/a%20b", b"c=%20")),
        (b"GET", b"http://h", Target("/", b"/", b"", b"h")),
        (b"GET", b"ws://h:8004/a?b", Target("/a", b"/a", b"b", b"h:8004")),
        (b"GET", b"http://[::1]:8004/a", Target("/a", b"/a", b"", b"[::1]:8004")),
        (b"OPTIONS", b"*", Target("*", b"*", b"")),
    ],
)
def test_a_target(method: bytes, url: bytes, target: Target) -> None:
    assert read_target(method, url) == target


@pytest.mark.parametrize(
    ("method", "url"),
    [
        (b"GET", b"*"),
        (b"GET", b"h:80"),
        (b"GET", b""),
        (b"CONNECT", b"h:80"),
        (b"GET", b"http://user@h/a"),
        (b"GET", b"http://"),
    ],
)
def test_no_target(method: bytes, url: bytes) -> None:
    with pytest.raises(BadHead) as refused:
        read_target(method, url)
    assert (refused.value.status, refused.value.field) == (400, "request")


@pytest.mark.parametrize(
    ("version", "special", "wishes"),
    [
        ("1.1", [HOST], Wishes()),
        ("1.0", [], Wishes()),
        ("1.1", [HOST, (b"content-length", b"5 ")], Wishes(5)),
        ("1.1", [HOST, (b"transfer-encoding", b"Chunked")], Wishes(CHUNKED)),
        ("1.1", [HOST, (b"expect", b"100-Continue")], Wishes(0, True)),
        ("1.0", [(b"expect", b"100-continue")], Wishes()),
        ("1.1", [HOST, (b"upgrade", b"WebSocket"), (b"connection", b"a, Upgrade")], Wishes(is_websocket=True)),
        ("1.1", [HOST, (b"upgrade", b"websocket"), (b"connection", b"close")], Wishes()),
        ("1.1", [HOST, (b"proxy-connection", b"upgrade"), (b"upgrade", b"h2c")], Wishes()),
    ],
)
def test_wishes(version: str, special: list[tuple[bytes, bytes]], wishes: Wishes) -> None:
    assert read_wishes(version, special) == wishes


@pytest.mark.parametrize(
    ("version", "special", "status", "field"),
    [
        ("1.1", [], 400, "Host"),
        ("1.1", [HOST, HOST], 400, "Host"),
        ("1.0", [HOST, HOST], 400, "Host"),
        ("1.1", [(b"host", b"a b")], 400, "Host"),
        ("1.1", [(b"host", b"a/b")], 400, "Host"),
        ("1.1", [(b"host", b"a@b")], 400, "Host"),
        ("1.1", [HOST, (b"content-length", b"+5")], 400, "Content-Length"),
        ("1.1", [HOST, (b"transfer-encoding", b"gzip")], 501, "Transfer-Encoding"),
        ("1.1", [HOST, (b"transfer-encoding", b"gzip, chunked")], 501, "Transfer-Encoding"),
        ("1.1", [HOST, (b"transfer-encoding", b"identity")], 501, "Transfer-Encoding"),
        ("1.1", [HOST, (b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")], 501, None),
        ("2.0", [HOST], 505, "request"),
        ("0.9", [], 505, "request"),
    ],
)
def test_what_is_refused(version: str, special: list[tuple[bytes, bytes]], status: int, field: str | None) -> None:
    with pytest.raises(BadHead) as refused:
        read_wishes(version, special)
    assert refused.value.status == status
    assert field in (None, refused.value.field)


def test_the_host_of_the_target_goes_before_the_header() -> None:
    assert with_host([HOST, (b"a", b"b")], b"h") == [(b"host", b"h"), (b"a", b"b")]
