"""One attempt over HTTP, to a real receiver that does what receivers do."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from presence_server.webhooks.file import Webhook
from presence_server.webhooks.posting import MAX_ANSWER, Outcome, Posting
from support.http_stub import answering, response
from support.receiver import SECRET, Delivered, Receiver, receiving
from support.tls import Authority


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def no_trust() -> ssl.SSLContext:
    raise AssertionError("certificates are looked at for https only")


def posting(url: str, *, seconds: float = 30.0, allow_private: bool = True) -> Posting:
    return Posting(Webhook("crm", url, (SECRET,), allow_private=allow_private), no_trust, seconds)


def post(url: str, times: int = 1, *, seconds: float = 30.0, allow_private: bool = True) -> list[Outcome]:
    async def run() -> list[Outcome]:
        it = posting(url, seconds=seconds, allow_private=allow_private)
        try:
            return [await it.post({"webhook-id": f"msg_{number}"}, b'{"type":"x"}') for number in range(times)]
        finally:
            await it.close()

    return asyncio.run(run())


def test_it_is_handed_over(receiver: Receiver) -> None:
    assert post(f"{receiver.url}?key=1") == [Outcome(200)]
    (one,) = receiver.received
    assert one.body == b'{"type":"x"}'
    assert one.headers["content-type"] == "application/json"
    assert one.headers["webhook-id"] == "msg_0"
    assert one.headers["user-agent"].startswith("presence-server/")
    assert "transfer-encoding" not in one.headers


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_every_2xx_is_a_yes(receiver: Receiver, status: int) -> None:
    receiver.behave = lambda _delivered, _handler: status
    assert post(receiver.url)[0].is_received


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(receiver: Receiver, status: int) -> None:
    with receiving() as elsewhere:
        receiver.behave = lambda _delivered, _handler: status
        receiver.answer_headers = {"Location": elsewhere.url}
        (outcome,) = post(receiver.url)
        assert outcome == Outcome(status, f"answered {status}; redirects are not followed")
        assert not elsewhere.asked


def test_retry_after_is_handed_on(receiver: Receiver) -> None:
    receiver.behave = lambda _delivered, _handler: 503
    receiver.answer_headers = {"Retry-After": "120"}
    assert post(receiver.url) == [Outcome(503, "answered 503", "120")]


def test_one_connection_serves_many_messages(receiver: Receiver) -> None:
    ports = set()

    def behave(_delivered: Delivered, handler: BaseHTTPRequestHandler) -> int:
        ports.add(handler.client_address[1])
        return 200

    receiver.behave = behave
    assert post(receiver.url, 5) == [Outcome(200)] * 5
    assert len(ports) == 1


def test_a_receiver_that_stalls_costs_the_time_limit_and_the_next_attempt_has_a_new_connection(
    receiver: Receiver,
) -> None:
    stalls = [True, False]

    def behave(_delivered: Delivered, _handler: BaseHTTPRequestHandler) -> int:
        if stalls.pop(0):
            receiver.over.wait(60)
        return 200

    async def run() -> tuple[Outcome, Outcome]:
        it = posting(receiver.url, seconds=0.2)
        try:
            first = await it.post({}, b"{}")
            it._timeout = 30.0
            return first, await it.post({}, b"{}")
        finally:
            await it.close()

    receiver.behave = behave
    first, second = asyncio.run(run())
    assert first == Outcome(reason="did not answer within 0.2 seconds")
    assert second == Outcome(200)


def test_an_answer_without_end_is_cut_off(receiver: Receiver) -> None:
    receiver.answer_body = b"x" * (50 * MAX_ANSWER)
    assert post(receiver.url, 2) == [Outcome(200)] * 2


def test_an_answer_that_trickles_costs_the_time_limit() -> None:
    async def run() -> Outcome:
        ended = asyncio.Event()

        async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            try:
                for _ in range(10_000):
                    writer.write(b"1\r\nx\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.01)
            except ConnectionError:
                pass
            writer.transport.abort()
            ended.set()

        async with await asyncio.start_server(trickle, "127.0.0.1", 0) as server:
            it = posting(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", seconds=0.3)
            try:
                return await it.post({}, b"{}")
            finally:
                await it.close()
                await ended.wait()

    assert asyncio.run(run()) == Outcome(reason="did not answer within 0.3 seconds")


def test_a_connection_that_is_dropped_is_a_failure_with_a_reason(receiver: Receiver) -> None:
    receiver.behave = lambda _delivered, _handler: None
    (outcome,) = post(receiver.url)
    assert outcome.status == 0
    assert outcome.reason


@pytest.mark.parametrize("answer", ["rubbish\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", ""])
def test_what_is_no_http_is_a_failure_with_a_reason(answer: str) -> None:
    async def run() -> Outcome:
        async with answering(lambda _head, _body: answer) as url:
            it = posting(url)
            try:
                return await it.post({}, b"{}")
            finally:
                await it.close()

    outcome = asyncio.run(run())
    assert outcome.status == 0
    assert outcome.reason
    assert "\n" not in outcome.reason


def test_compressed_answers_are_not_inflated() -> None:
    async def run() -> Outcome:
        async with answering(lambda _head, _body: response(200, "x" * 100, Content_Encoding="gzip")) as url:
            it = posting(url)
            try:
                return await it.post({}, b"{}")
            finally:
                await it.close()

    assert asyncio.run(run()) == Outcome(200)


def test_nobody_there(receiver: Receiver) -> None:
    (outcome,) = post("http://127.0.0.1:1/")
    assert outcome.status == 0
    assert "refused" in outcome.reason.lower() or "failed" in outcome.reason.lower()


def test_a_private_address_is_refused_without_a_connection(receiver: Receiver) -> None:
    (outcome,) = post(receiver.url, allow_private=False)
    assert outcome == Outcome(reason="the host's address 127.0.0.1 is loopback; allow_private = true would allow it")
    (outcome,) = post(receiver.url.replace("127.0.0.1", "localhost"), allow_private=False)
    assert "is loopback" in outcome.reason
    assert not receiver.asked


def test_proxies_of_the_environment_are_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert post(receiver.url) == [Outcome(200)]


def test_certificates_are_looked_at(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    trusted = authority.client()

    async def run(trust: ssl.SSLContext) -> Outcome:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
            writer.close()

        context = authority.server("127.0.0.1")
        async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
            url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            it = Posting(Webhook("crm", url, (SECRET,), allow_private=True), lambda: trust)
            try:
                return await it.post({}, b"{}")
            finally:
                await it.close()

    assert asyncio.run(run(trusted)) == Outcome(200)
    outcome = asyncio.run(run(ssl.create_default_context()))
    assert "certificate verify failed" in outcome.reason
