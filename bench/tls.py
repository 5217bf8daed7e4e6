"""What TLS by the server itself costs: memory of a connection, CPU to connect, and CPU of a delivered change.

Run as `python bench/tls.py [connections] [changes] [rounds]`. Two servers in one run, plain and TLS, in turns.
Everybody watches one user, who changes again once all have been told: so each change is a write, and a record under
TLS, of its own. Only the server's process is measured. What is printed is the median of the rounds, with TLS as a
multiple of plain.
The certificate has a P-256 key, and each connection a handshake of its own (TLS 1.3, without resumption).
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import trustme
from lab import WrongResult, cpu_seconds, presence_server, raise_file_limit, resident_kb
from websockets.asyncio.client import ClientConnection, connect

FLAGS = ("--min-publish-interval", "0", "--admission-lag", "0", "--limits", "off")
THE_ONE = 1
WARM_UP = 50
"""Connections before anything is measured, which bring in what is loaded on first use."""
AT_ONCE = 25
PAUSE = 1.0
"""Seconds for the server to finish what the last connections began."""
PATIENCE = 60.0


async def enter(url: str, trusted: ssl.SSLContext | None, user: int) -> ClientConnection:
    """A connection that watches `THE_ONE`, once it has its snapshot."""
    link = await connect(url, ssl=trusted, proxy=None, compression=None, ping_interval=None)
    hello = {"type": "hello", "userId": user, "deviceId": f"d{user}", "platform": "WEB", "watch": [THE_ONE]}
    await link.send(json.dumps(hello))
    while json.loads(await link.recv())["type"] != "snapshot":
        pass
    return link


async def crowd(url: str, trusted: ssl.SSLContext | None, first: int, count: int) -> list[ClientConnection]:
    links: list[ClientConnection] = []
    for start in range(first, first + count, AT_ONCE):
        users = range(start, min(start + AT_ONCE, first + count))
        links += await asyncio.gather(*(enter(url, trusted, user) for user in users))
    return links


async def told_of(link: ClientConnection, text: str) -> None:
    """Until the change arrives."""
    while True:
        message = json.loads(await link.recv())
        if any(entry.get("statusText") == text for entry in message.get("changes", ())):
            return


async def measured(port: int, pid: int, trusted: ssl.SSLContext | None, count: int, changes: int) -> dict[str, float]:
    """Raises WrongResult: somebody was not told of a change."""
    url = f"{'ws' if trusted is None else 'wss'}://127.0.0.1:{port}/api/v1/presence/ws"
    early = await crowd(url, trusted, THE_ONE, WARM_UP)
    await asyncio.sleep(PAUSE)
    memory, cpu = resident_kb(pid), cpu_seconds(pid)
    late = await crowd(url, trusted, THE_ONE + WARM_UP, count)
    connecting = cpu_seconds(pid) - cpu
    await asyncio.sleep(PAUSE)
    held = resident_kb(pid) - memory
    links = [*early, *late]
    spent = cpu_seconds(pid)
    for number in range(changes):
        await early[0].send(json.dumps({"type": "status", "status": "BUSY", "statusText": f"{number}"}))
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*(told_of(link, f"{number}") for link in links))
        except TimeoutError:
            raise WrongResult(f"change {number} did not reach everybody") from None
    spent = cpu_seconds(pid) - spent
    for link in links:
        link.transport.abort()
    return {
        "KB of a connection": held / count,
        "us of CPU to connect": connecting / count * 1e6,
        "us of CPU for a delivery": spent / (changes * len(links)) * 1e6,
    }


def one_round(count: int, changes: int, folder: Path) -> Mapping[str, tuple[float, float]]:
    """Each figure of the plain server, and of the one with TLS."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    issued.private_key_pem.write_to_path(key)
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(certificate, append=number > 0)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    found = []
    for flags, context in (((), None), (("--tls-cert", str(certificate), "--tls-key", str(key)), trusted)):
        with presence_server(*FLAGS, *flags) as (port, pid):
            found.append(asyncio.run(measured(port, pid, context, count, changes)))
    plain, secured = found
    return {name: (plain[name], secured[name]) for name in plain}


def main(count: int = 500, changes: int = 60, rounds: int = 3) -> None:
    raise_file_limit()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = [one_round(count, changes, Path(folder)) for _ in range(rounds)]
    took = time.monotonic() - began
    print(f"{count:,} connections, {changes} changes to all of them, {rounds} rounds, {took:.0f} s:")
    for name in found[0]:
        plain, secured = (median(one[name][which] for one in found) for which in (0, 1))
        times = median(one[name][1] / one[name][0] for one in found)
        print(f"  {name}: {plain:.1f} plain, {secured:.1f} with TLS, {times:.1f} times")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
