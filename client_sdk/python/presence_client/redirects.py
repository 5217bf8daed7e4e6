"""Redirects: where one leads, whether it may be followed, and whether credentials may go along. Pure.

One is followed for GET alone, upgrades included: others would be repeated at a place that nobody named. It never leads
out of TLS. A token and the headers of `connect` go along to the same origin, or from `http` to `https` of the same
host, as browsers and HTTP libraries have it.
"""

from typing import Final, NamedTuple
from urllib.parse import urljoin, urlsplit

from presence_client.address import Origin, redacted
from presence_protocol.paths import BASE_PATH

MAX_REDIRECTS: Final = 5
"""In a row. A loop is noticed by it."""

STATUSES: Final = frozenset((301, 302, 303, 307, 308))


class Redirect(NamedTuple):
    """Where an answer leads. `url`: empty where nobody may follow; `shown`: for people, without secrets.

    `is_trusted`: what was meant for the first place may be shown there, too.
    """

    url: str
    shown: str
    is_trusted: bool

    def __str__(self) -> str:
        return f"redirects to {self.shown}" if self.shown else "redirects to nowhere"


def redirect_of(url: str, status: int, location: str | None) -> Redirect | None:
    """What the answer to a GET of `url` says about another place; None: it is no redirect."""
    if status not in STATUSES:
        return None
    if not location:
        return Redirect("", "", False)
    try:
        to = urljoin(url, location)
        here, there = Origin.of(url), Origin.of(to)
    except ValueError:
        return Redirect("", redacted(location), False)
    shown = redacted(to).partition(BASE_PATH)[0]  # what one would give as the server's URL
    if here.scheme == "https" and there.scheme == "http":
        return Redirect("", shown, False)
    is_upgrade = here == ("http", there.host, 80) and there == ("https", here.host, 443)
    is_websocket = urlsplit(url).scheme in ("ws", "wss")
    scheme = {"http": "ws", "https": "wss"}[there.scheme] if is_websocket else there.scheme
    rest = to.partition("://")[2].rpartition("#")[0] if "#" in to else to.partition("://")[2]
    return Redirect(f"{scheme}://{rest.rpartition('@')[2]}", shown, here == there or is_upgrade)
