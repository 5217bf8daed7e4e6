"""Which addresses a webhook may connect to, and that it connects to what was checked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpcore
import pytest

from presence_server.webhooks.addresses import CheckedBackend, RefusedAddress, refusal, resolve


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1", "loopback"),
        ("127.8.9.10", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("10.0.0.1", "private"),
        ("172.16.3.4", "private"),
        ("192.168.1.1", "private"),
        ("fd00:ec2::254", "private"),  # a cloud's metadata
        ("fec0::1", "private"),
        ("169.254.169.254", "link-local"),  # a cloud's metadata
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("100.64.0.1", "not public"),
        ("192.0.2.1", "private"),
        ("198.18.0.1", "private"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("240.0.0.1", "private"),
        ("255.255.255.255", "private"),
        # IPv4 in IPv6
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:a9fe:a9fe", "link-local"),
        ("::ffff:10.0.0.1", "private"),
        ("::127.0.0.1", "loopback"),
        ("::10.0.0.1", "private"),
        ("64:ff9b::127.0.0.1", "loopback"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("2002:7f00:1::", "loopback"),
        ("2002:a00:1::1", "private"),
        ("2001:db8::1", "private"),
    ],
)
def test_what_is_not_public_is_refused(address: str, reason: str) -> None:
    assert refusal(address) == reason


@pytest.mark.parametrize("address", ["2001:0:4136:e378:8000:63bf:3fff:fdd2", "64:ff9b:1::1", "::2"])
def test_what_is_refused_by_a_word_that_depends_on_pythons_version(address: str) -> None:
    """Teredo, a network's own translator, and what is reserved."""
    assert refusal(address) is not None


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_what_is_public_is_not(address: str) -> None:
    assert refusal(address) is None


def resolving(*answers: Sequence[str]) -> CheckedBackend:
    """A name that resolves to another answer each time."""
    left = list(answers)

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return left.pop(0)

    return CheckedBackend(False, resolve)


def test_a_name_with_private_addresses_only_is_refused_with_the_reason() -> None:
    with pytest.raises(RefusedAddress, match=r"the host's address 10\.0\.0\.7 is private; allow_private = true"):
        asyncio.run(resolving(["10.0.0.7", "127.0.0.1"]).connect_tcp("crm.example.com", 443, 5.0))


class Network(httpcore.AnyIOBackend):
    """Connects to nobody, and remembers whom it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def connect_tcp(self, host: str, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
        self.asked.append(host)
        raise httpcore.ConnectError("nobody is there")


def test_it_connects_to_the_address_that_was_checked_and_resolves_once() -> None:
    backend = resolving(["10.0.0.7", "1.1.1.1", "::1", "2606:4700::1"], ["127.0.0.1"])
    backend._network = network = Network()
    with pytest.raises(httpcore.ConnectError):
        asyncio.run(backend.connect_tcp("rebinds.example.com", 80, 5.0))
    assert network.asked == ["1.1.1.1", "2606:4700::1"]


def test_each_connection_is_checked_anew() -> None:
    """DNS rebinding: the second answer is private."""
    backend = resolving(["1.1.1.1"], ["127.0.0.1"])
    backend._network = network = Network()

    async def twice() -> None:
        with pytest.raises(httpcore.ConnectError):
            await backend.connect_tcp("rebinds.example.com", 80, 5.0)
        with pytest.raises(RefusedAddress):
            await backend.connect_tcp("rebinds.example.com", 80, 5.0)

    asyncio.run(twice())
    assert network.asked == ["1.1.1.1"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "::ffff:127.0.0.1", "0"])
def test_loopback_is_refused_however_it_is_written(host: str) -> None:
    """Resolved by the system, which reads more spellings of an address than most checks do."""
    with pytest.raises((RefusedAddress, httpcore.ConnectError)) as refused:
        asyncio.run(CheckedBackend(False).connect_tcp(host, 9, 5.0))
    assert refused.type is RefusedAddress or "resolved" in str(refused.value)


def test_a_name_that_is_none() -> None:
    async def fails(_host: str, _port: int) -> Sequence[str]:
        raise OSError(-2, "Name or service not known")

    with pytest.raises(httpcore.ConnectError, match="cannot be resolved: Name or service not known"):
        asyncio.run(CheckedBackend(True, fails).connect_tcp("nowhere.invalid", 80, 5.0))


def test_a_resolver_that_is_silent_costs_the_time_limit() -> None:
    async def never(_host: str, _port: int) -> Sequence[str]:
        await asyncio.sleep(3600)
        return []

    with pytest.raises(httpcore.ConnectTimeout):
        asyncio.run(CheckedBackend(True, never).connect_tcp("slow.invalid", 80, 0.01))


def test_the_systems_resolver() -> None:
    assert "127.0.0.1" in asyncio.run(resolve("127.0.0.1", 80))
