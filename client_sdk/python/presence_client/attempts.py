"""Whether, when and over what to connect again. Pure: chance comes in as a function.

Whether is the close code's word (`presence_protocol.close_codes`), when is `backoff`'s, over what is counted here:
after `fallback_after` connections in a row that failed between TCP and welcome, WebSockets are taken for blocked and
the next goes over REST. A server that cannot be reached at all says nothing about WebSockets, so it does not count;
and if REST fails as well, tries alternate.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from presence_client.backoff import Backoff
from presence_client.conversation import Conversation, Kind
from presence_protocol.close_codes import Advice, advice

SETTLED: Final = 5.0
"""Seconds that a connection must live to begin the backoff anew, to earn another try with a new token, and to move at
once when asked to: a shorter one may be a refusal."""

FALLBACK_AFTER: Final = 3
"""Connections in a row that must fail between TCP and welcome before REST is tried."""

BACKOFF: Final = Backoff()

UPGRADE: Final = Backoff(base=60.0, cap=960.0)
"""How long REST lasts before WebSocket is tried again: half of the ceiling fixed, half of it jitter."""


class End(NamedTuple):
    """How a link ended. `code`: of the close frame, 1006 without one. `retry_after`: seconds, if the peer said so.

    `was_reached` is False when not even TCP came about (refused, no route, no such name). `http_status`: of the answer
    that refused it; 0 where there was none.
    """

    code: int
    reason: str = ""
    retry_after: float | None = None
    was_reached: bool = True
    http_status: int = 0


class Policy(NamedTuple):
    """`fallback_after`: None, never REST; 0, REST first. `upgrade`: None, stay on REST once there."""

    backoff: Backoff = BACKOFF
    fallback_after: int | None = FALLBACK_AFTER
    upgrade: Backoff | None = UPGRADE


class Attempts:
    """What was tried so far, and what follows from it. Delays are in seconds."""

    def __init__(self, policy: Policy, chance: Callable[[], float]) -> None:
        self._policy = policy
        self._chance = chance
        self._tries = 0  # since a connection lasted
        self._moves = 0  # tries that failed since there was reason to move
        self._asked_to_move = 0  # by connections that did not last
        self._upgrades = 0  # tries to leave REST since it was taken
        self._blocked = 0  # connections in a row that failed between TCP and welcome
        self._is_renewed = False

    @property
    def kind(self) -> Kind:
        """What the next connection goes over."""
        most = self._policy.fallback_after
        return Kind.REST if most is not None and self._blocked >= most else Kind.WEBSOCKET

    def welcomed(self, kind: Kind) -> None:
        if kind is Kind.WEBSOCKET:
            self._blocked = self._upgrades = 0

    def failed(self, conversation: Conversation, end: End) -> None:
        """Take into account how a connection ended that was to be followed."""
        most = self._policy.fallback_after
        if conversation.welcome is not None or not end.was_reached or most is None:
            return
        if conversation.kind is Kind.REST:
            self._blocked = max(0, most - 1)
        elif end.code < 4000:  # the 4000s are a server's own words: it was reached over a WebSocket
            self._blocked += 1

    def ended(self, conversation: Conversation, now: float) -> None:
        """A connection ended, or was replaced: if it lasted, the backoff begins anew, and a token may expire again.

        A welcome alone earns nothing: a gateway may welcome first, and then find the token expired.
        """
        if _has_lasted(conversation, now):
            self._tries = 0
            self._is_renewed = False

    def next(self, conversation: Conversation, end: End, has_tokens: bool, now: float) -> float | None:
        """After how long to try again (0: at once, with a new token); None: not at all."""
        self.ended(conversation, now)
        then = advice(end.code)
        if then is Advice.RENEW and has_tokens and not self._is_renewed:
            self._is_renewed = True
            return 0.0
        if then is not Advice.RECONNECT:
            return None
        self._tries += 1
        return self._policy.backoff.delay(self._tries - 1, self._chance(), end.retry_after)

    def begin_moving(self, conversation: Conversation, after: float, now: float) -> float:
        """The server asks to move, `after` seconds from now. Returns after how long to try.

        With backoff, if it asks a connection that is new, or asks again: two servers that both are about to end must
        not throw a client to and fro.
        """
        if _has_lasted(conversation, now) and not conversation.is_to_move:
            self._moves = self._asked_to_move = 0
        conversation.is_to_move = True
        self._asked_to_move += 1
        if self._asked_to_move == 1:
            return after
        return max(after, self._policy.backoff.delay(self._asked_to_move - 2, self._chance()))

    def move_delay(self, kind: Kind, retry_after: float | None) -> float | None:
        """After how long to try once more to replace a connection of this kind."""
        if kind is Kind.REST:
            return self.upgrade_delay()
        self._moves += 1
        return self._policy.backoff.delay(self._moves - 1, self._chance(), retry_after)

    def upgrade_delay(self) -> float | None:
        """After how long to try to leave REST; None: never."""
        if self._policy.upgrade is None:
            return None
        self._upgrades += 1
        return self._policy.upgrade.ceiling(self._upgrades - 1) * (0.5 + 0.5 * self._chance())

    def rewatch_delay(self, retry_after: float | None = None) -> float:
        """After how long to ask again for users whom the server could not look up."""
        return self._policy.backoff.delay(2, self._chance(), retry_after)


def _has_lasted(conversation: Conversation, now: float) -> bool:
    return conversation.welcome is not None and now - conversation.welcomed_at >= SETTLED
