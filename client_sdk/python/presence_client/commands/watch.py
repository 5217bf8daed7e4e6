"""`presence-client watch`: a live table on a terminal; elsewhere a line per change, plain or JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Final

import msgspec

from presence_client.actions import ConnectionState, Phase
from presence_client.address import Address
from presence_client.client import PresenceClient
from presence_client.commands.console import reader_gone, say
from presence_client.commands.reach import Reach
from presence_client.commands.screen import Row, Table, clock, line_of, state_line
from presence_client.connecting import connect
from presence_protocol.messages import StatusEntry
from presence_protocol.user_ids import UserId

WATCHING: Final = "watching"

REDRAW: float = 0.1
"""Seconds between two drawings of the table at least: eyes are not faster."""


async def run(reach: Reach, user_ids: Sequence[UserId], *, is_json: bool) -> int:
    """Watch until cancelled. Returns the exit code.

    Raises:
        ConnectionClosed: the server will not have this client.
    """
    width = max(len(str(user_id)) for user_id in user_ids)
    async with (
        connect(**reach._asdict(), observer=True, watch=user_ids, open_timeout=0) as client,
        asyncio.TaskGroup() as group,
    ):
        if Table.fits(sys.stdout) and not is_json:
            group.create_task(_draw(client, Address.parse(reach.url).given, list(dict.fromkeys(user_ids)), width))
        else:
            group.create_task(_tell_states(client))
            group.create_task(_tell_changes(client, width, is_json))
            group.create_task(reader_gone())
    return 0


async def _tell_states(client: PresenceClient) -> None:
    """On standard error, so that standard output holds nothing but changes."""
    async for state in client.states():
        if state.phase is not Phase.CONNECTING:
            say(f"{clock()}  {state_line(state, WATCHING)}", sys.stderr)


async def _tell_changes(client: PresenceClient, width: int, is_json: bool) -> None:
    async for change in client.changes():
        if is_json:
            say(_json_of(change.after))
        else:
            say(f"{clock()}  {line_of(Row.of(change.after), width)}")


def _json_of(entry: StatusEntry) -> str:
    text = msgspec.json.encode(entry).decode()
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return json.dumps(json.loads(text), separators=(",", ":"))  # with escapes, which every encoding has
    return text


async def _draw(client: PresenceClient, url: str, user_ids: Sequence[UserId], width: int) -> None:
    table = Table(sys.stdout)
    stirred = asyncio.Event()

    async def stir_by_states() -> None:
        async for _ in client.states():
            stirred.set()

    async def stir_by_changes() -> None:
        async for _ in client.changes():
            stirred.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(stir_by_states())
        group.create_task(stir_by_changes())
        try:
            while True:
                await stirred.wait()
                stirred.clear()
                head = _head(client, client.state, url)
                table.draw(head, _rows(client, user_ids, width, table.is_coloured))
                await asyncio.sleep(REDRAW)
        finally:
            table.end()


def _head(client: PresenceClient, state: ConnectionState, url: str) -> str:
    since = client.view.stale_since
    stale = f"  (as of {since.astimezone():%H:%M:%S})" if since is not None and len(client.view) else ""
    return f"{url}  {state_line(state, WATCHING)}{stale}"


def _rows(client: PresenceClient, user_ids: Sequence[UserId], width: int, is_coloured: bool) -> list[str]:
    rows = []
    for user_id in user_ids:
        entry = client.view.get(user_id)
        rows.append(
            f"{user_id:<{width}}  ..." if entry is None else line_of(Row.of(entry), width, is_coloured=is_coloured)
        )
    return rows
