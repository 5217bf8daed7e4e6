"""On the way to a server: redirects, proxies, and secrets that nobody else may see."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from presence_client import Phase, PresenceApi, PresenceError, connect
from presence_protocol import __version__
from support.server import Server, run_server
from support.tls import Authority, tls_before

Transport = Literal["websocket", "rest"]
TRANSPORTS = ("websocket", "rest")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(allowed_hosts="presence.test") as running:
        yield running


def play(story: Coroutine[Any, Any, None]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(20):
            await story

    asyncio.run(in_time())


async def reached(url: str, transport: Transport, **more: Any) -> str:
    """The phase that a client comes to by its first try, or why it does not."""
    client = connect(url, user_id=1, device_id=transport, platform="PC", transport=transport, open_timeout=0, **more)
    async with client:
        async for state in client.states():
            if state.phase is Phase.ONLINE:
                return state.phase.value
            if state.phase is not Phase.CONNECTING:
                return state.reason
    raise AssertionError("it said nothing")


async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.close()


class Middle:
    """Something on the way. `heads`: the requests that came, whole."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.heads: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def redirecting(to: str, status: int = 308, path: str | None = None) -> AsyncIterator[Middle]:
    """A server that redirects everything to `to`, at the same path unless `path` is given."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        middle.heads.append(head)
        location = to + (head.split(" ")[1] if path is None else path)
        head = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    middle = Middle(listener.sockets[0].getsockname()[1])
    try:
        yield middle
    finally:
        listener.close()


@asynccontextmanager
async def proxy_to(port: int, status: int = 200) -> AsyncIterator[Middle]:
    """An HTTP proxy that leads everybody to `port`, or refuses with `status`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        middle.heads.append(head)
        if status != 200:
            writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())
            writer.close()
            return
        behind = await asyncio.open_connection("127.0.0.1", port)
        method, target, rest = head.split(" ", 2)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            behind[1].write(f"{method} /{target.split('/', 3)[3]} {rest}".encode())
        await asyncio.gather(copy(reader, behind[1]), copy(behind[0], writer))

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    middle = Middle(listener.sockets[0].getsockname()[1])
    try:
        yield middle
    finally:
        listener.close()


# --- redirects -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_for_get(server: Server, status: int) -> None:
    async def story() -> None:
        async with redirecting(server.url, status) as middle:
            async with PresenceApi(middle.url) as api:
                assert (await api.status(5)).user_id == 5
            assert await reached(middle.url, "websocket") == "online"

    play(story())


def test_a_redirect_is_named_where_it_is_not_followed(server: Server) -> None:
    async def story() -> None:
        async with redirecting(server.url) as middle:
            assert await reached(middle.url, "rest") == f"HTTP 308 Moved, redirects to {server.url}; use that URL"
            async with PresenceApi(middle.url) as api:
                with pytest.raises(PresenceError) as refused:
                    await api.online(5, "d", "PC")
            assert str(refused.value) == (f"{middle.url} redirects: 308 Moved, redirects to {server.url}; use that URL")
        assert server.status_of(5) == "OFFLINE"

    play(story())


def test_a_loop_of_redirects_ends() -> None:
    async def story() -> None:
        async with redirecting("") as middle:
            async with PresenceApi(middle.url) as api:
                with pytest.raises(PresenceError, match="redirects"):
                    await api.status(5)
            assert len(middle.heads) == 5
            assert "redirects" in await reached(middle.url, "websocket")

    play(story())


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("headers", "agent"), [({}, f"presence-client-python/{__version__}"), ({"User-agent": "me"}, "me")]
)
def test_it_says_who_it_is_once(transport: Transport, headers: dict[str, str], agent: str) -> None:
    async def story() -> None:
        async with redirecting("http://127.0.0.1:1") as middle:
            await reached(middle.url, transport, headers=headers)
            lines = [line.partition(":") for line in middle.heads[0].splitlines()]
            assert [value.strip() for name, _, value in lines if name.lower() == "user-agent"] == [agent]

    play(story())


def test_a_token_and_headers_go_to_no_other_host() -> None:
    async def story() -> None:
        async with redirecting("http://127.0.0.1:1") as other, redirecting(other.url) as middle:
            secrets: dict[str, Any] = {"token": "SECRET", "headers": {"X-Key": "SECRET", "User-Agent": "me"}}
            async with PresenceApi(middle.url, **secrets) as api:
                with pytest.raises(PresenceError):
                    await api.status(5)
            assert "Bearer SECRET" in middle.heads[0]
            assert "SECRET" not in other.heads.pop()
            # a WebSocket's token is in its first message: it does not go there at all
            assert other.url in await reached(middle.url, "websocket", **secrets)
            assert other.heads == []
            await reached(middle.url, "websocket", headers=secrets["headers"])
            assert other.heads
            assert "SECRET" not in "".join(other.heads)

    play(story())


def test_a_redirect_to_https_is_followed(server: Server, tmp_path: Path) -> None:

    authority = Authority(tmp_path)

    async def story() -> None:
        async with (
            tls_before(server.port, authority.server()) as port,
            redirecting(f"https://localhost:{port}") as middle,
        ):
            assert "the certificate is not trusted" in await reached(middle.url, "websocket")
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("SSL_CERT_FILE", str(authority.file))
                assert await reached(middle.url, "websocket") == "online"
                async with PresenceApi(middle.url) as api:
                    assert (await api.status(5)).user_id == 5

    play(story())


# --- proxies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    "form", ["127.0.0.1:{}", "http://127.0.0.1:{}/", "http://me:p%40w@127.0.0.1:{}", "me@127.0.0.1:{}"]
)
@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy", "ALL_PROXY"])
def test_a_proxy_is_taken_by_both(
    server: Server, transport: Transport, form: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with proxy_to(server.port) as proxy:
            monkeypatch.setenv(variable, form.format(proxy.port))
            assert await reached(f"http://presence.test:{server.port}", transport) == "online"
            assert f"presence.test:{server.port}" in proxy.heads[0]
            if "me" in form:
                pair = b"me:p@w" if "p%40w" in form else b"me:"
                assert f"Basic {base64.b64encode(pair).decode()}" in proxy.heads[0]
            proxy.heads.clear()
            assert await reached(server.url, transport) == "online"
            assert proxy.heads == []  # this machine's own addresses need none

    play(story())


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_proxy_that_fails_is_named_without_its_password(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        monkeypatch.setenv("http_proxy", "http://me:SECRET@127.0.0.1:1")
        reason = await reached("http://presence.test", transport)
        assert reason == "Connection refused (by the proxy 127.0.0.1:1 of http_proxy)"
        async with proxy_to(1, 407) as proxy:
            monkeypatch.setenv("http_proxy", f"http://me:SECRET@127.0.0.1:{proxy.port}")
            reason = await reached("http://presence.test", transport)
            assert "407" in reason
            assert "SECRET" not in reason

    play(story())


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_tls_goes_through_a_proxy(
    server: Server, transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)

    async def story() -> None:
        async with tls_before(server.port, authority.server("presence.test")) as port, proxy_to(port) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}")
            assert await reached("https://presence.test", transport, ssl=authority.client()) == "online"
            assert proxy.heads[0].startswith("CONNECT presence.test:443 ")
        async with (
            tls_before(server.port, authority.server("presence.test")) as port,
            proxy_to(port) as proxy,
            tls_before(proxy.port, authority.server()) as secure,
        ):
            monkeypatch.setenv("HTTPS_PROXY", f"https://localhost:{secure}")
            assert await reached("https://presence.test", transport, ssl=authority.client()) == "online"
            assert proxy.heads[0].startswith("CONNECT presence.test:443 ")

    play(story())


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_no_secret_is_logged(server: Server, transport: Transport, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def story() -> None:
        url = server.url.replace("//", "//me:SECRET@")
        assert await reached(url, transport, token="SECRET-1", headers={"X-Key": "SECRET"}) == "online"
        async with PresenceApi(url, token="SECRET-1") as api:
            await api.status(5)
        assert "SECRET" not in await reached(url.replace(str(server.port), "1"), transport, token="SECRET-1")

    play(story())
    assert caplog.records
    assert "SECRET" not in caplog.text


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("token", ["SECRET-17\n", "SECRET-ä"])
def test_a_token_as_files_have_it(server: Server, transport: Transport, token: str) -> None:
    async def story() -> None:
        assert await reached(server.url, transport, token=token) == "online"
        assert await reached(server.url, transport, token=lambda: token) == "online"
        async with PresenceApi(server.url, token=token) as api:
            assert (await api.status(5)).user_id == 5

    play(story())


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_token_that_cannot_be_sent_is_a_reason_of_ours(server: Server, transport: Transport) -> None:
    async def story() -> None:
        reason = await reached(server.url, transport, token=lambda: "SECRET\nSECRET")
        assert "token cannot go into a header: character 7 is U+000A" in reason
        assert "SECRET" not in reason

    play(story())
