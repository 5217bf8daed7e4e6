"""What the commands print: lines for a person, and a table that is drawn anew in place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple, TextIO

from presence_client.actions import ConnectionState, Phase
from presence_client.answers import UserDetail
from presence_client.commands.console import write
from presence_protocol.messages import StatusEntry
from presence_protocol.text import cleaned
from presence_protocol.user_ids import UserId

COLOURS: Final = {"ONLINE": "32", "AWAY": "33", "BUSY": "31", "OFFLINE": "2"}
"""ANSI colours by status, where the terminal has any."""


class Row(NamedTuple):
    """One user. `last_active`: UTC as in `2025-11-09T15:00:00Z`, None if never known; `last_seen` is told instead of it
    to who may see the status only. `idle_since`: of who is idle, where the server tells it."""

    user_id: UserId
    status: str
    platforms: list[str]
    last_active: str | None
    text: str | None
    emoji: str | None = None
    last_seen: str | None = None
    idle_since: str | None = None

    @classmethod
    def of(cls, user: UserDetail | StatusEntry) -> Row:
        """The row of what REST or a watch says."""
        texts = user.status_text, user.status_emoji
        return cls(
            user.user_id, user.status, user.platforms, user.last_active_time, *texts, user.last_seen, user.idle_since
        )

    @property
    def seen(self) -> str:
        """When the user was there, in words."""
        if self.last_active:
            return f"last active {self.last_active}"
        if self.last_seen:
            return f"last seen {self.last_seen.replace('_', ' ')}"
        return "never seen" if self.status == "OFFLINE" else "last active unknown"


def line_of(row: Row, width: int = 1, *, is_coloured: bool = False) -> str:
    """One line for a person. `width`: characters for the user id."""
    idle = f"idle since {row.idle_since}" if row.idle_since else ""
    rest = "  ".join([f"{','.join(row.platforms) or '-':<7}", row.seen, *filter(None, (idle, row.emoji, row.text))])
    status = f"{row.status:<7}"
    if is_coloured:
        status = f"\x1b[{COLOURS.get(row.status, '0')}m{status}\x1b[0m"
    return f"{row.user_id:<{width}}  {status}  {cleaned(rest)}"


def state_line(state: ConnectionState, online: str = "online") -> str:
    """A connection's state in words. `online`: what being connected means; an observer is not online."""
    problem = state.problem.value.replace("_", " ") if state.problem else ""
    why = f": {cleaned(state.reason or problem)}" if state.reason or problem else ""
    match state.phase:
        case Phase.ONLINE:
            return f"{online} over {state.kind.value if state.kind else 'nothing'}"
        case Phase.WAITING:
            return f"waiting {state.retry_in or 0:.1f} s to connect again{why}"
        case Phase.CONNECTING:
            return f"connecting{why}"
        case Phase.CLOSED:
            return f"closed{why}"


def clock() -> str:
    """The time of day, where the person is."""
    return datetime.now().astimezone().strftime("%H:%M:%S")


class Table:
    """Lines that are drawn over those drawn before. As many as the terminal has room for."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn = 0
        self.is_coloured = not os.environ.get("NO_COLOR")
        if os.name == "nt":
            os.system("")  # makes a Windows console heed escapes

    @staticmethod
    def fits(stream: TextIO) -> bool:
        """Whether the stream is a terminal on which lines can be drawn over others."""
        return stream.isatty() and os.environ.get("TERM") != "dumb"

    def end(self) -> None:
        """What is written next is not drawn into the last line, where the terminal shows ^C."""
        if self._drawn:
            write("\n", self._stream)

    def draw(self, head: str, lines: Sequence[str]) -> None:
        """Show these in place of the last ones. The head may take several rows: what went wrong is read whole."""
        columns, rows = shutil.get_terminal_size()
        head_rows = max(1, -(-len(head) // columns))
        shown = list(lines[: max(0, rows - 3 - head_rows)])
        if len(shown) < len(lines):
            shown.append(f"... and {len(lines) - len(shown)} more")
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        rest = "\x1b[K" if len(head) % columns else ""  # at the very end of a row it would take the last letter
        # Lines must not wrap, or the cursor would not find back: the terminal is told so while it draws.
        body = "".join(f"\r{line}\x1b[K\n" for line in shown)
        write(f"{up}\r{head}{rest}\n\x1b[?7l{body}\x1b[J\x1b[?7h", self._stream)
        self._drawn = head_rows + len(shown)
