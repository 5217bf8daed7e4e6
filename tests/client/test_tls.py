"""Over real TLS: both transports trust the system's store, or what they are given, and say why where they do not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from presence_client import InvalidSetting, Phase, PresenceApi, PresenceError, connect
from support.server import Server, run_server
from support.tls import Authority, tls_before


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server() as running:
        yield running


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


def play(story: Coroutine[Any, Any, None]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(20):
            await story

    asyncio.run(in_time())


Transport = Literal["websocket", "rest"]
TRANSPORTS = ("websocket", "rest")


async def reached(url: str, transport: Transport, context: ssl.SSLContext | None = None) -> str:
    """The phase that a client comes to by its first try, or why it does not."""
    who: dict[str, Any] = {"user_id": 1, "device_id": transport, "platform": "PC"}
    async with connect(url, **who, transport=transport, ssl=context, open_timeout=0) as client:
        async for state in client.states():
            if state.phase is Phase.ONLINE:
                return state.phase.value
            if state.phase is not Phase.CONNECTING:
                return state.reason
    raise AssertionError("it said nothing")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_the_system_trusts_is_trusted(
    server: Server, authority: Authority, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))

    async def story() -> None:
        async with tls_before(server.port, authority.server()) as port:
            assert await reached(f"https://localhost:{port}", transport) == "online"
            assert await reached(f"wss://localhost:{port}", transport) == "online"
            async with PresenceApi(f"https://localhost:{port}") as api:
                assert (await api.status(5)).status == "OFFLINE"

    play(story())


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_is_given_is_trusted_in_its_place(server: Server, authority: Authority, transport: Transport) -> None:
    async def story() -> None:
        async with tls_before(server.port, authority.server()) as port:
            assert await reached(f"https://localhost:{port}", transport, authority.client()) == "online"
            async with PresenceApi(f"https://localhost:{port}", ssl=authority.client()) as api:
                assert (await api.status(5)).status == "OFFLINE"

    play(story())


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_who_is_not_trusted_is_told_so(
    server: Server, authority: Authority, transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(Authority(tmp_path).file))  # somebody else's

    async def story() -> None:
        async with tls_before(server.port, authority.server()) as port:
            reason = await reached(f"https://localhost:{port}", transport)
            assert reason.startswith("the certificate is not trusted: "), reason
            with pytest.raises(PresenceError, match="the certificate is not trusted: "):
                async with PresenceApi(f"https://localhost:{port}") as api:
                    await api.status(5)
        async with tls_before(server.port, authority.server("elsewhere.example")) as port:
            reason = await reached(f"https://localhost:{port}", transport, authority.client())
            assert "localhost" in reason, reason

    play(story())


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_wrong_scheme_is_told(server: Server, authority: Authority, transport: Transport) -> None:
    async def story() -> None:
        reason = await reached(f"https://localhost:{server.port}", transport)
        assert reason == "the server does not speak TLS: is its URL http, not https?"
        async with tls_before(server.port, authority.server()) as port:
            reason = await reached(f"http://localhost:{port}", transport)
            assert reason
            assert "a bug" not in reason

    play(story())


@pytest.mark.parametrize("context", [ssl.create_default_context(), True, False, "ca.pem"])
def test_what_does_not_fit_is_refused_at_once(context: Any) -> None:
    url = "http://127.0.0.1:1" if isinstance(context, ssl.SSLContext) else "https://127.0.0.1:1"
    with pytest.raises(InvalidSetting, match=r"^ssl "):
        connect(url, observer=True, ssl=context)
    with pytest.raises(InvalidSetting, match=r"^ssl "):
        PresenceApi(url, ssl=context)
