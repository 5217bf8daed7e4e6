"""The settings in words: the documents' table, and the line that a person sees at start."""

from __future__ import annotations

from presence_server import __version__
from presence_server.settings.declaration import PROGRAM, number
from presence_server.settings.table import DECLARATIONS, Settings


def markdown_table() -> str:
    """The settings as the Markdown table that the documents show (a test holds them to it); ends with a newline."""
    rows = ["| flag | default | |", "|---|---|---|"]
    for declaration in DECLARATIONS:
        meaning = declaration.help
        if declaration.choices:
            meaning += f" ({', '.join(declaration.choices)})"
        rows.append(f"| `{declaration.flag}` | {declaration.default_text} | {meaning} |")
    return "\n".join(rows) + "\n"


def start_line(settings: Settings, url: str, connection_limit: int, returning: str = "") -> str:
    """The one line that a person sees at start: the page's link, the ghost bounds and the limits.

    `returning`: what there is to say of those who were there before a restart.
    """
    also = f" and unix:{settings.uds}" if settings.uds else ""
    return (
        f"{PROGRAM} {__version__} at {url}{also} | "
        f"a dead link shows as OFFLINE within {number(round(settings.ghost_bound_websocket, 3))} s "
        f"(WebSocket) or {number(round(settings.ghost_bound_rest, 3))} s (REST){returning} | "
        f"up to {connection_limit} connections, {settings.max_watched} watched users each, "
        f"{settings.max_devices} devices per user, {settings.max_batch} users per query, "
        f"{settings.max_message} bytes per message"
    )


def returning_line(settings: Settings, users: int, ends_in: float) -> str:
    """What the start line says of users who were restored, the last of whom has to be back after so many seconds."""
    bound = max(settings.returning, ends_in) + settings.ghost_slack
    return f", after a restart within {number(round(bound, 3))} s ({users} users restored)"
