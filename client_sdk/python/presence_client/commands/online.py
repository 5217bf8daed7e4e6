"""`presence-client online`: stay online as a device of a user, and turn away, busy or invisible by typing so."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from presence_client.actions import Phase
from presence_client.client import PresenceClient
from presence_client.commands.console import reader_gone, say
from presence_client.commands.keyboard import lines
from presence_client.commands.reach import Reach
from presence_client.commands.screen import clock, state_line
from presence_client.connecting import connect
from presence_client.errors import ConnectionClosed, PresenceError
from presence_protocol.close_codes import CloseCode
from presence_protocol.messages import SelfView
from presence_protocol.text import cleaned
from presence_protocol.user_ids import UserId

COMMANDS: Final[dict[str, Callable[[PresenceClient, str], Awaitable[None]]]] = {
    "away": lambda client, text: client.set_status("AWAY", text=text or None),
    "busy": lambda client, text: client.set_status("BUSY", text=text or None),
    "invisible": lambda client, text: client.set_status("OFFLINE"),
    "online": lambda client, text: client.set_status("ONLINE", text=text or None),
    "back": lambda client, text: client.clear_status(),
    "idle": lambda client, text: client.activity(True),
    "active": lambda client, text: client.activity(False),
}
"""What may be typed: the word, then for some a text to show beside the status."""

KEYS: Final = {"a": "away", "b": "busy", "i": "invisible", "o": "online", "k": "back", "d": "idle", "c": "active"}
"""One letter will do."""

HELP: Final = "a(way) [text], b(usy) [text], i(nvisible), o(nline) [text], back (k), idle (d), active (c), q(uit)"


async def run(reach: Reach, user_id: UserId, device_id: str, platform: str) -> int:
    """Stay online until `quit` or cancelled. Returns the exit code.

    Raises:
        ConnectionClosed: the server will not have this client (any more).
    """
    client = connect(**reach._asdict(), user_id=user_id, device_id=device_id, platform=platform, open_timeout=0)
    say(f"{clock()}  {user_id} on {device_id}; type {HELP}")
    try:
        async with client:
            await _stay(client)
    except asyncio.CancelledError:
        say(f"{clock()}  left")
        raise
    say(f"{clock()}  left")
    return 0


async def _stay(client: PresenceClient) -> None:
    """Until one of these ends: by `quit`, or because the client has stopped."""
    works = (_tell_states(client), _tell_self(client), _obey(client, lines()), reader_gone())
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _tell_states(client: PresenceClient) -> None:
    async for state in client.states():
        if state.phase is Phase.CLOSED and state.code != CloseCode.NORMAL:
            await client.wait_online()  # raises why
        if state.phase is not Phase.CONNECTING or not state.reason:  # a new try was announced when it was waited for
            say(f"{clock()}  {state_line(state)}")


async def _tell_self(client: PresenceClient) -> None:
    async for self_view in client.self_views():
        say(f"{clock()}  {self_line(self_view)}")
    await asyncio.Event().wait()  # the end is told elsewhere


def self_line(self_view: SelfView) -> str:
    """A user's own truth in words."""
    override = self_view.override
    said = [cleaned(text) for text in (self_view.status_emoji, self_view.status_text) if text]
    text = [f"({' '.join(said)})"] if said else []
    words = [f"{self_view.user_id} is {self_view.status}", *text]
    if override is not None:
        words = [f"{self_view.user_id} is {'invisible' if override.status == 'OFFLINE' else override.status}", *text]
        words += [f"until {override.until}"] if override.until else []
    by = self_view.status_by
    if by is not None and by.source not in ("devices", "self"):
        words += [f"but shown as {self_view.status} by {cleaned(by.source)}"] if override is not None else []
        words += [f"by {cleaned(by.source)}"] if override is None else []
        words += [f"until {by.until}"] if by.until else []
    devices = ", ".join(f"{cleaned(each.device_id)}{' idle' if each.idle else ''}" for each in self_view.devices)
    return f"{' '.join(words)}; devices: {devices or 'none'}"


async def _obey(client: PresenceClient, typed: asyncio.Queue[str | None]) -> None:
    """Do what is typed, until `quit`. When there is nothing more to read, stay."""
    while (line := await typed.get()) is not None:
        word, _, text = line.strip().partition(" ")
        word = KEYS.get(word.lower(), word.lower())
        if word in ("q", "quit", "exit"):
            return
        if word in COMMANDS:
            await _do(client, word, text.strip())
        elif word:
            say(f"{clock()}  {cleaned(word)!r} is nothing to do; type {HELP}")
    await asyncio.Event().wait()


async def _do(client: PresenceClient, word: str, text: str) -> None:
    try:
        await COMMANDS[word](client, text)
        say(f"{clock()}  {word}: done")
    except ConnectionClosed as closed:
        if client.state.phase is Phase.CLOSED:
            raise
        say(f"{clock()}  {word}: {closed}", sys.stderr)
    except (PresenceError, ValueError) as failed:
        say(f"{clock()}  {word}: {failed}", sys.stderr)
