"""The hub as the answers to messages see it: so that `conversation` does not import the hub that imports it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

from presence_protocol.close_codes import CloseCode
from presence_protocol.messages import AnyServerMessage
from presence_server.application.admission import Admission
from presence_server.application.allowances import Allowances, TooMuch
from presence_server.application.ceilings import Ceilings
from presence_server.application.hub_limits import HubLimits
from presence_server.application.journal import Journal
from presence_server.application.keys import UserKeys
from presence_server.application.liveness import Liveness
from presence_server.application.lookups import Found
from presence_server.application.permissions import Permissions
from presence_server.application.ports import Clock, Engine, Peer, Wanted
from presence_server.application.principals import Denied, Principal
from presence_server.application.sessions import Session
from presence_server.application.sight import Sight
from presence_server.application.watching import Watching
from presence_server.domain.model import UserKey


class HubPort(Protocol):
    """`Hub` says what each of these does."""

    engine: Engine
    keys: UserKeys
    clock: Clock
    limits: HubLimits
    liveness: Liveness
    watching: Watching
    sight: Sight
    permissions: Permissions
    part_bytes: int
    is_draining: bool
    journal: Journal
    refusals: Counter[str]
    allowances: Allowances | None
    ceilings: Ceilings
    admission: Admission

    def send(self, session: Session, message: AnyServerMessage) -> None: ...

    def close(self, session: Session, code: CloseCode, reason: str, now: float) -> None: ...

    def authenticate(
        self, peer: Peer, token: str | None, wanted: Wanted, now: float, done: Callable[[Principal | Denied], None]
    ) -> None: ...

    def admit(self, session: Session, principal: Principal, now: float) -> None: ...

    def may_have(self, session: Session, over: TooMuch | None, id: int | None, now: float) -> bool: ...

    def turn_away(self, session: Session, over: TooMuch, id: int | None, now: float) -> None: ...

    def join(self, session: Session) -> None: ...

    def read_on(self, session: Session) -> None: ...

    def ask_to_reconnect(self, session: Session) -> None: ...

    def is_at_once(self, size: int) -> bool: ...

    def begin(self, session: Session, steps: Iterator[None]) -> None: ...

    def lookup(self, viewer: UserKey, user_ids: list[UserKey], now: float, done: Found) -> None: ...
