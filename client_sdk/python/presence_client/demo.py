"""`python -m presence_client.demo`: a server and a few people in one terminal: the first minute needs no browser.

It starts the server's own console script on a free port, brings three people online with the SDK, and prints what a
watcher of all three is told, beside what they do. It ends by itself after some 20 seconds, or with Ctrl-C.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from presence_client.api import PresenceApi
from presence_client.client import PresenceClient
from presence_client.commands.console import Unwritable, discard_output, prepare, say
from presence_client.commands.signals import until_told
from presence_client.connecting import connect
from presence_client.errors import PresenceError
from presence_protocol.user_ids import UserId

NAMES: Final[dict[UserId, str]] = {10001: "ann", 10002: "bob", 10003: "cleo"}
ANN, BOB, CLEO = NAMES

GRACE: Final = 3
"""Seconds of the server's grace period here: the default of 10 would make a long silence."""


class DemoError(Exception):
    """The demo cannot be played. Its text is one line for a person."""


class Stage:
    """Says what happens, and when: seconds since the curtain rose."""

    def __init__(self) -> None:
        self._began = asyncio.get_running_loop().time()

    def tell(self, line: str) -> None:
        """Print a line with the time."""
        say(f"{asyncio.get_running_loop().time() - self._began:5.1f} s  {line}")

    async def act(self, line: str, pause: float = 0.0) -> None:
        """Wait, then say what somebody is about to do."""
        await asyncio.sleep(pause)
        self.tell(f"* {line}")


class Cable:
    """A network cable between a client and the server, which can be pulled, and plugged in again."""

    def __init__(self, port: int) -> None:
        self.url = ""
        self._port = port
        self._is_pulled = False
        self._writers: set[asyncio.StreamWriter] = set()

    def pull(self) -> None:
        """Drop what goes through it, without a goodbye, and let nothing through any more."""
        self._is_pulled = True
        for writer in list(self._writers):
            writer.transport.abort()

    def plug_in(self) -> None:
        """Let connections through again."""
        self._is_pulled = False

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, both ways."""
        if self._is_pulled:
            writer.transport.abort()
            return
        there = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, there[1]}
        try:
            await asyncio.gather(self._copy(reader, there[1]), self._copy(there[0], writer))
        finally:
            self._writers -= {writer, there[1]}

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()


@asynccontextmanager
async def cable_to(port: int) -> AsyncIterator[Cable]:
    """A cable to the server on this machine's `port`."""
    cable = Cable(port)
    listener = await asyncio.start_server(cable.carry, "127.0.0.1", 0)
    cable.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield cable
    finally:
        listener.close()
        cable.pull()
        await asyncio.sleep(0)


@asynccontextmanager
async def server() -> AsyncIterator[int]:
    """A server of its own, started as a user would. Yields its port.

    Raises:
        DemoError: there is none, or it does not start.
    """
    here = str(Path(sys.executable).parent)
    script = shutil.which("presence-server", path=here) or shutil.which("presence-server")
    if script is None:
        raise DemoError("the demo needs the server: pip install 'presence-service[server]'")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        script,
        "--port",
        str(port),
        "--grace-period",
        str(GRACE),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the demo, which ends it
    )
    try:
        await _wait_up(f"http://127.0.0.1:{port}", process)
        yield port
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _wait_up(url: str, process: asyncio.subprocess.Process) -> None:
    async with PresenceApi(url, timeout=1) as api:
        for _ in range(200):
            if process.returncode is not None:
                raise DemoError("the server ended at once; run `presence-server` to see why")
            with suppress(PresenceError):
                await api.status(ANN)
                return
            await asyncio.sleep(0.05)
    raise DemoError("the server did not come up")


async def play() -> None:
    """The whole demo."""
    async with server() as port, cable_to(port) as cable:
        url = f"http://127.0.0.1:{port}"
        stage = Stage()
        stage.tell(f"a server at {url}/ and somebody who watches {', '.join(NAMES.values())}")
        async with connect(url, observer=True, watch=NAMES) as watcher:
            reading = asyncio.create_task(_read(watcher, stage))
            try:
                await _act(url, cable, stage)
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)


async def _read(watcher: PresenceClient, stage: Stage) -> None:
    async for change in watcher.changes():
        text = f"  {change.text}" if change.text else ""
        platforms = ",".join(change.platforms) or "-"
        stage.tell(f"    {NAMES[change.user_id]:<5} {change.status:<7} {platforms:<9}{text}".rstrip())


async def _act(url: str, cable: Cable, stage: Stage) -> None:
    await stage.act("ann opens her browser", 1)
    async with connect(url, user_id=ANN, device_id="browser", platform="WEB") as ann:
        await stage.act("bob's phone connects, then his laptop", 1)
        async with connect(cable.url, user_id=BOB, device_id="phone", platform="IOS") as phone:
            async with connect(url, user_id=BOB, device_id="laptop", platform="PC"):
                await _work(url, ann, phone, stage)
                await stage.act("bob closes his laptop: he is AWAY, on his phone", 1)
            await stage.act("bob takes his phone", 1)
            await phone.activity(False)
            await _lose_link(cable, stage)
        await stage.act("ann closes her browser", 1)
    await stage.act("that is all", 1)


async def _work(url: str, ann: PresenceClient, phone: PresenceClient, stage: Stage) -> None:
    await stage.act("ann goes into a meeting", 2)
    await ann.set_status("BUSY", until=timedelta(hours=1), text="in a meeting")
    await stage.act("cleo comes by REST: one request, no connection", 1.5)
    async with PresenceApi(url) as api:
        await api.online(CLEO, "script", "PC")
        await stage.act("bob's phone is idle; his laptop is not, so nobody is told", 1.5)
        await phone.activity(True)
        await stage.act("cleo's script ends", 1.5)
        await api.offline(CLEO, "script")
    await stage.act("ann's meeting is over", 1)
    await ann.clear_status()


async def _lose_link(cable: Cable, stage: Stage) -> None:
    await stage.act("bob's phone loses its link and finds it again: within the grace period nobody is told", 1)
    cable.pull()
    await asyncio.sleep(0.5)
    cable.plug_in()
    await stage.act(f"bob's phone loses its link for good: after {GRACE} s everybody is told", 2.5)
    cable.pull()
    await asyncio.sleep(GRACE + 1)


async def _play_whole() -> int:
    await play()
    return 0


def main() -> None:
    """Play the demo, and exit: 0, played or interrupted; 1, it could not be played."""
    prepare()
    code = 0
    try:
        asyncio.run(until_told(_play_whole()))
    except (DemoError, PresenceError) as failed:
        say(f"demo: {failed}", sys.stderr)
        code = 1
    except Unwritable:
        discard_output()
    raise SystemExit(code)


if __name__ == "__main__":
    main()
