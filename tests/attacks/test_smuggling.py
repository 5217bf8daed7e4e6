"""Request smuggling through a real nginx: two readers of one stream must not disagree on where a request ends.

The server trusts this machine, and nginx says whom each request is for. A request that nginx did not see carries no
such word, and would be let in: so a smuggled one makes user 666 ONLINE. The first test shows that this is so.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from attacks.bystander import From, watching
from support.proxies import run_block
from support.server import BASE, Server, run_server
from support.tls import Authority

ATTACKER = "127.0.0.3"
BODY = b'{"userId":666,"deviceId":"d","platform":"WEB"}'
INNER = (
    b"POST %b/online HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" % BASE.encode()
    + b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
CHUNK = b"%x\r\n%b\r\n" % (len(INNER), INNER)
END = b"0\r\n\r\n"


def outer(lines: bytes, body: bytes, eol: bytes = b"\r\n") -> bytes:
    """A request whose head holds `lines` as they are, and what follows it."""
    head = b"POST /presence%b/status/batch HTTP/1.1" % BASE.encode()
    return eol.join((head, b"Host: localhost", b"Content-Type: application/json", lines, b"", b"")) + body


TE = b"Transfer-Encoding: chunked"
BAD = {
    "both lengths, the length first": outer(b"Content-Length: 5\r\n" + TE, END + INNER),
    "both lengths, the coding first": outer(TE + b"\r\nContent-Length: 5", END + INNER),
    "a length that covers less than the chunks": outer(TE + b"\r\nContent-Length: 4", CHUNK + END),
    "two lengths": outer(b"Content-Length: 0\r\nContent-Length: %d" % len(INNER), INNER),
    "a list of lengths": outer(b"Content-Length: 0, %d" % len(INNER), INNER),
    "a length with a sign": outer(b"Content-Length: +0", INNER),
    "a length in hex": outer(b"Content-Length: 0x0", INNER),
    "a length with a space inside": outer(b"Content-Length: 0 %d" % len(INNER), INNER),
    "a space before the colon": outer(b"Transfer-Encoding : chunked\r\nContent-Length: 0", END + INNER),
    "a coding nobody knows": outer(b"Transfer-Encoding: xchunked\r\nContent-Length: 0", END + INNER),
    "chunked is not the last coding": outer(b"Transfer-Encoding: chunked, identity\r\nContent-Length: 0", END + INNER),
    "chunked twice": outer(TE + b"\r\n" + TE, END + INNER),
    "a control character in the coding": outer(b"Transfer-Encoding: \x0bchunked\r\nContent-Length: 0", END + INNER),
    "a folded header": outer(b"X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 0", INNER),
    "a coding on a folded line": outer(b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 0", END + INNER),
    "bare LF": outer(b"Content-Length: 0\n" + TE, END + INNER, b"\n"),
    "bare LF between two headers": outer(b"X: y\nContent-Length: %d" % len(INNER), INNER),
    "bare CR": outer(b"X: y\rContent-Length: %d" % len(INNER), INNER),
    "NUL in a header": outer(b"X: \0\r\nContent-Length: 0", INNER),
    "a chunk size in 0x": outer(TE, b"0x0\r\n\r\n" + INNER),
    "a chunk size with a sign": outer(TE, b"+0\r\n\r\n" + INNER),
    "a negative chunk size": outer(TE, b"-1\r\n" + INNER),
    "a chunk size too large to hold": outer(TE, b"10000000000000000\r\n" + INNER),
    "a chunk size with a space before": outer(TE, b" 0\r\n\r\n" + INNER),
    "a chunk size that ends with LF": outer(TE, b"0\n\n" + INNER),
    "a chunk extension with LF": outer(TE, b"1;x\nA\r\n" + END + INNER),
    "a chunk that is longer than it says": outer(TE, b"1\r\nAB\r\n" + END + INNER),
    "no size at all": outer(TE, b"\r\n\r\n" + INNER),
    "a trailer with a length": outer(TE, b"0\r\nContent-Length: 5\r\n\r\n" + INNER),
}
"""By what is odd about them. What follows is smuggled if anybody takes the request to end where nginx does not."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # The bystander comes from 127.0.0.2; the attacker's address is not trusted.
    networks = "127.0.0.1/32,127.0.0.2/32"
    with run_server(
        root_path="/presence", trusted_proxies="127.0.0.1", trusted_networks=networks, header_timeout=1, body_timeout=1
    ) as running:
        yield running


@pytest.fixture(scope="module")
def nginx(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Authority]]:
    folder = tmp_path_factory.mktemp("nginx")
    authority = Authority(folder)
    with run_block("nginx", server.port, folder, authority) as url:
        yield urlsplit(url).port or 0, authority


def through(nginx: tuple[int, Authority], data: bytes) -> bytes:
    """What nginx answers to a stranger who sends this."""
    port, authority = nginx
    with socket.socket() as raw:
        raw.settimeout(5)
        raw.bind((ATTACKER, 0))
        raw.connect(("127.0.0.1", port))
        with authority.client().wrap_socket(raw, server_hostname="localhost") as line:
            line.sendall(data)
            return drained(line)


def drained(line: socket.socket | ssl.SSLSocket) -> bytes:
    answer = b""
    with suppress(TimeoutError, ConnectionError, ssl.SSLError):
        while data := line.recv(65_536):
            answer += data
    return answer


def test_what_nginx_did_not_see_would_be_let_in(server: Server) -> None:
    """Else the tests below would show nothing."""
    assert server.status_of(666) == "OFFLINE"
    with From(server, "127.0.0.1") as client:
        client.send(INNER)
        assert client.reply().status == 200
    assert server.status_of(666) == "ONLINE"
    assert server.request("POST", "/offline", {"userId": 666, "deviceId": "d"}).status == 200
    assert server.status_of(666) == "OFFLINE"


def test_a_stranger_is_refused_through_nginx(server: Server, nginx: tuple[int, Authority]) -> None:
    whole = INNER.replace(b"POST ", b"POST /presence").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    assert through(nginx, whole).startswith(b"HTTP/1.1 401 ")
    assert server.status_of(666) == "OFFLINE"


def test_nothing_is_smuggled_through_nginx(server: Server, nginx: tuple[int, Authority]) -> None:
    answers: dict[str, bytes] = {}

    def attack(name: str) -> None:
        answers[name] = through(nginx, BAD[name])

    with watching(server):
        threads = [threading.Thread(target=attack, args=(name,)) for name in BAD]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert server.status_of(666) == "OFFLINE"
    assert {name for name, answer in answers.items() if b"HTTP/1.1 200" in answer} == set()


@pytest.mark.parametrize("name", BAD)
def test_the_server_itself_reads_none_of_it_as_two_requests(server: Server, name: str) -> None:
    with From(server, ATTACKER) as client:
        client.send(BAD[name])
        client.socket.shutdown(socket.SHUT_WR)
        answer = drained(client.socket)
    assert server.status_of(666) == "OFFLINE"
    assert answer.count(b"HTTP/1.1 ") <= 1, answer
    assert b"HTTP/1.1 200" not in answer
    if answer:
        assert int(answer.split()[1]) in (400, 401, 408, 413, 501), answer
        assert b"connection: close" in answer.lower()
