"""Who is let in, for tests that build the application themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

from presence_server.application.ports import Changed, Peer, Wanted
from presence_server.application.principals import Denied, Principal, trusted
from presence_server.domain.lenses import Lens
from presence_server.identity.authentication import Authentication, ByAddress
from presence_server.identity.networks import LOOPBACK, Networks
from presence_server.identity.revocations import Revocations
from presence_server.identity.tickets import Tickets


def trusting(*networks: str) -> Authentication:
    """As the server is without a setting: clients of `networks` (this machine) may do everything."""
    numbers = count(1)
    return Authentication(
        ByAddress(Networks(networks or LOOPBACK)), Tickets(lambda: f"t{next(numbers)}"), Revocations()
    )


class ByTable:
    """Tokens and whose they are. Without a token, or with one that is not in the table: `otherwise`."""

    def __init__(self, known: dict[str, Principal], otherwise: Denied | None = None) -> None:
        self.known = known
        self.otherwise = otherwise or Denied(401, "a token is needed")
        self.asked: list[tuple[Peer, str | None, Wanted]] = []

    def authenticate(
        self,
        peer: Peer,
        token: str | None,
        wanted: Wanted,
        now: float,
        utc: float,
        done: Callable[[Principal | Denied], None],
    ) -> None:
        self.asked.append((peer, token, wanted))
        done(self.known.get(token or "", self.otherwise))


EVERYTHING = trusted("test")


class ByRule:
    """Who may see whom, by a function; nothing changes unless `tell` says so."""

    is_open = False

    def __init__(self, lens: Callable[[int, int], Lens]) -> None:
        self.lens = lens
        self.tell: Changed = lambda _viewer, _keys: None

    def attach(self, changed: Changed) -> None:
        self.tell = changed

    def learn(self, viewer: int, keys: Sequence[int], now: float, done: Callable[[float | None], None]) -> None:
        done(None)

    def is_contact(self, viewer: int, key: int) -> bool:
        return self.lens(viewer, key) is Lens.FULL

    def sweep(self, now: float) -> None:
        """Nothing waits."""
