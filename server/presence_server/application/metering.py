"""What is done about a message that is over a limit: it is refused, and whoever goes on all the same is closed."""

from __future__ import annotations

from presence_protocol.close_codes import CloseCode
from presence_protocol.errors import InvalidMessage
from presence_protocol.messages import AnyClientMessage, Bye
from presence_protocol.session import State
from presence_server.application import refusals
from presence_server.application.allowances import Purse, TooMuch
from presence_server.application.replies import Replies
from presence_server.application.sessions import Session


class Metering:
    def __init__(self, replies: Replies) -> None:
        self._replies = replies

    def is_over(self, session: Session, purse: Purse, message: AnyClientMessage | InvalidMessage, now: float) -> bool:
        """Whether one more message is over its limit, and was refused. To leave is always allowed."""
        over = purse.message(now)
        if over is None or type(message) is Bye:
            return False
        self._too_much(session, over, message.id, now)
        return True

    def may_have(self, session: Session, over: TooMuch | None, id: int | None, now: float) -> bool:
        """Whether no limit is in the way; else the message with this `id` is refused."""
        if over is not None:
            self._too_much(session, over, id, now)
        return over is None

    def turn_away(self, session: Session, over: TooMuch, id: int | None, now: float) -> None:
        """Refuse a hello for the moment: an `error` that says when to come back, and the close that goes with it."""
        self._replies.send(session, refusals.too_much(over, id))
        code = CloseCode.TOO_FAST if over.code == 429 else CloseCode.UNAVAILABLE
        self._replies.close(session, code, f"{over.limit}: {over.reason}", now)

    def _too_much(self, session: Session, over: TooMuch, id: int | None, now: float) -> None:
        """Refuse a message that is over a limit, and close whoever goes on all the same, or has not begun."""
        goes_on = session.purse is not None and session.purse.goes_on(now)
        if goes_on or session.state is not State.LIVE:
            self.turn_away(session, over, id, now)
        else:
            self._replies.send(session, refusals.too_much(over, id))
