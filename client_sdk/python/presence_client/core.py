"""The client without I/O: which connection there is, what goes over it, and when there is another.

Events come in as method calls, each with `now` (seconds of a clock that only goes forward); what is to be done or
told piles up and is fetched with `take()`. `deadline()` says when `tick` is due. There is no clock, no chance and no
loop in here: a program runs it on asyncio, a simulator on virtual time, and both run the same decisions.

    core.start(now)                     -> Open(link, WEBSOCKET, token), or AskToken(link) first
    core.opened(link, now)              -> Send(link, Hello)
    core.received(link, message, now)   -> Changed, Became, Settled, Send ...
    core.lost(link, End(...), now)      -> Became(WAITING), and with a later tick(now) another Open

Connections. `_main` is the one that is followed. A `_successor` is opened beside it when the server asks to move, or
when a client on REST tries WebSocket again; the one that it replaces owes its replies, and then is closed with 1001
(`_retired`). Whether, when and over what to come back is decided in `attempts`. A REST link speaks the same messages
as a WebSocket (see `rest_link`), so nothing here knows the difference.

Requests are numbered by tickets, and are never replayed: one that was sent and not answered fails with its
connection, since nobody knows whether it was carried out. What may be done twice is another matter: a query is asked
again; idleness, a level, goes with the next hello; the watch list is restored.

A ticket is settled when the server was told, never before: what is asked while there is no connection, or between
hello and welcome, waits in `_waiting`, and what the hello said meanwhile is settled by its welcome.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from presence_client.actions import (
    Action,
    AskToken,
    Became,
    Changed,
    Close,
    ConnectionState,
    Open,
    Phase,
    SelfTold,
    Send,
    Settled,
)
from presence_client.attempts import Attempts, End, Policy
from presence_client.conversation import Asked, Conversation, Kind, Verdict
from presence_client.errors import ConnectionClosed, NotConnected, PresenceError, RequestFailed, RequestTimedOut
from presence_client.identity import Identity
from presence_client.values import Level
from presence_client.watchlist import Watchlist
from presence_protocol.close_codes import Advice, CloseCode, advice
from presence_protocol.errors import OutOfTurn
from presence_protocol.fields import format_time
from presence_protocol.limits import MAX_IDLE_FOR
from presence_protocol.messages import (
    Activity,
    AnyClientMessage,
    AnyServerMessage,
    Auth,
    Bye,
    Detail,
    Diff,
    Error,
    Expiring,
    Limits,
    Ok,
    Query,
    Reconnect,
    SelfChanged,
    SelfView,
    SetStatus,
    Snapshot,
    Unwatch,
    Watch,
    Welcome,
)
from presence_protocol.session import State
from presence_protocol.user_ids import UserId
from presence_protocol.view import View

POLICY = Policy()

NOTICE: Final = 1.5
"""Seconds without a connection and without a reason, after which the state says that nobody answers."""

NO_ANSWER: Final = "no answer yet"
NO_TOKEN: Final = "no token yet"

BYTES_OF_ID: Final = 18
"""What a user id takes in a message at most: 16 digits, a comma, and one to spare."""


class Wanted(NamedTuple):
    """A request that waits for a connection. `until`, `text_until`: when a status and its text end, by the core's
    clock; None: as it says."""

    message: AnyClientMessage
    until: float | None = None
    text_until: float | None = None


class Core:
    """One client. `chance` gives numbers from 0 up to 1, anew at each call."""

    def __init__(self, identity: Identity, now: float, chance: Callable[[], float], policy: Policy = POLICY) -> None:
        self.state = ConnectionState(Phase.CONNECTING)
        self.self_view: SelfView | None = None
        self._identity = identity
        self._attempts = Attempts(policy, chance)
        self._watchlist = Watchlist(now)
        self._actions: list[Action] = []
        self._main: Conversation | None = None
        self._successor: Conversation | None = None
        self._retired: dict[int, Conversation] = {}
        self._last_number = self._last_ticket = 0
        self._waiting: dict[int, Wanted] = {}  # by ticket: what is sent once there is a connection
        self._idle: Level | None = None  # what was said of the person at this device
        self._was_welcomed = False
        self._limits: Limits | None = None  # of the last welcome
        self._last_end = End(0)
        self._notice_at: float | None = None
        self._retry_at: float | None = None
        self._move_at: float | None = None
        self._rewatch_at: float | None = None
        self._renew_at: float | None = None  # when a new token is asked for once more, for the connection there is

    def __repr__(self) -> str:
        return f"<Core {self.state.phase.value} main={self._main} successor={self._successor} {self.view}>"

    @property
    def view(self) -> View:
        """What is known of the watched users: for reading."""
        return self._watchlist.view

    # -- running it ----------------------------------------------------------------------------------------------

    def take(self) -> list[Action]:
        """What is to be done and told, in order; each is handed out once."""
        actions, self._actions = self._actions, []
        return actions

    def deadline(self) -> float | None:
        """When `tick` is due; None: not before something else happens."""
        timers = (self._retry_at, self._move_at, self._rewatch_at, self._renew_at, self._notice_at)
        times = [time for time in timers if time is not None]
        times += [each.due for each in self._conversations()]
        return min(times, default=None)

    def tick(self, now: float) -> None:
        """Time has passed. Harmless when nothing is due."""
        for conversation in list(self._conversations()):
            if self._find(conversation.number) is not None:
                self._check(conversation, now)
        if self._retry_at is not None and self._retry_at <= now:
            self._retry_at = None
            self._connect(now)
        if self._move_at is not None and self._move_at <= now:
            self._move_at = None
            if self._successor is None and self._is_live():
                self._successor = self._prepare(Kind.WEBSOCKET, now)
        if self._rewatch_at is not None and self._rewatch_at <= now:
            self._rewatch_at = None
            self._watch_left_out()
        if self._renew_at is not None and self._renew_at <= now and self._main is not None:
            self._renew_at = None
            self._actions.append(AskToken(self._main.number))
        if self._notice_at is not None and self._notice_at <= now:
            self._notice_at = None
            is_asking = self._main is not None and not self._main.has_token
            self._become(self.state._replace(reason=self.state.reason or (NO_TOKEN if is_asking else NO_ANSWER)))

    def start(self, now: float) -> None:
        """Connect for the first time. Harmless when it was done."""
        if self._last_number == 0 and self.state.phase is Phase.CONNECTING:
            self._connect(now)

    def reconnect_now(self, now: float) -> None:
        """Do not wait for the next try: make it now. Does nothing unless WAITING."""
        if self._retry_at is not None:
            self._retry_at = None
            self._connect(now)

    def leave(self, now: float) -> None:
        """Leave deliberately: others see the device go at once. Nothing comes after it."""
        if self.state.phase is not Phase.CLOSED:
            self._leave(End(CloseCode.NORMAL, "closed by the program"), now)

    # -- events of links -------------------------------------------------------------------------------------------

    def token(self, link: int, token: str | None, now: float) -> None:
        """The token that `AskToken` asked for."""
        if (conversation := self._find(link)) is None:
            return
        if not conversation.has_token:
            self._open(conversation, token, now)
        elif conversation is self._main and conversation.is_renewing and token is not None:
            self._identity.token = token
            self._ask(Auth(token=token))

    def token_failed(self, link: int, reason: str, now: float) -> None:
        """There is no token; it is asked for again after the backoff. A connection that there is stays."""
        if (conversation := self._find(link)) is not None and conversation.is_live:
            if conversation is self._main:
                self._renew_at = now + self._attempts.rewatch_delay()
            return
        self.lost(link, End(CloseCode.ABNORMAL, f"no token: {reason}", was_reached=False), now)

    def signed_out(self, link: int, reason: str, now: float) -> None:
        """There will be no token any more: the client leaves, and stops for good."""
        if self._find(link) is not None:
            self._leave(End(CloseCode.UNAUTHENTICATED, reason), now)

    def opened(self, link: int, now: float) -> None:
        """The link is connected, and waits for hello."""
        if (conversation := self._find(link)) is None:
            return
        view = conversation.view = self.view if conversation is self._main else self.view.fork()
        conversation.hello_ids, cursor = view.hello()
        hello = self._identity.hello(conversation.hello_ids, cursor, is_first=not self._was_welcomed)
        if self._idle is not None and not hello.observer:
            activity = self._activity(now)
            hello.idle, hello.idle_for_ms, hello.busy = activity.idle, activity.idle_for_ms, activity.busy
            conversation.said_idle = self._idle
            conversation.told = {
                ticket for ticket, wanted in self._waiting.items() if isinstance(wanted.message, Activity)
            }
        self._send(conversation, hello)

    def heard(self, link: int, now: float) -> None:
        """Something came that is no message, such as a WebSocket ping."""
        if (conversation := self._find(link)) is not None:
            conversation.heard(now)

    def received(self, link: int, message: AnyServerMessage, now: float) -> None:
        """A message came."""
        if (conversation := self._find(link)) is None:
            return
        try:
            asked = conversation.receive(message, now)
        except OutOfTurn as failure:
            self._close(conversation, CloseCode.MALFORMED, str(failure))
            self.lost(link, End(CloseCode.ABNORMAL, str(failure)), now)
            return
        if isinstance(message, Welcome):
            self._welcomed(conversation, message, now)
        elif conversation is self._main:
            self._follow(message, asked, now)
        for ticket in asked.tickets if asked is not None else ():
            if isinstance(message, Error):
                self._settle(ticket, error=_failure_of(message))
            else:
                self._settle(ticket, message)
        if conversation.is_retiring and not conversation.asked:
            self._retire(conversation, now)

    def lost(self, link: int, end: End, now: float) -> None:
        """The link ended, or never came about."""
        if (conversation := self._find(link)) is None:
            return
        if end.retry_after is None and end.code >= 4500:
            end = end._replace(retry_after=conversation.retry_after)
        self._retired.pop(link, None)
        if conversation is self._successor:
            self._successor = None
            if advice(end.code) is not Advice.STOP and self._main is not None:  # and keep the one there is
                delay = self._attempts.move_delay(self._main.kind, end.retry_after)
                self._move_at = None if delay is None else now + delay
        elif conversation is self._main:
            self._main = None
            self._move_at = self._rewatch_at = self._renew_at = self._notice_at = None
            self.view.lost(now)
            self._attempts.failed(conversation, end)
            if self._successor is None:
                self._come_back(conversation, end, now)
            else:
                # The server may have closed it with 4409, because of the very one that is to replace it.
                self._promote(self._successor)
                self._become(self._state_after(end, Phase.CONNECTING, self._main_kind()))
                self._notice_at = now + NOTICE
        # Last: whether a request is asked again depends on whether there will be another connection.
        self._orphan(conversation, end, now)
        self._settle_withdrawals()

    # -- requests --------------------------------------------------------------------------------------------------

    def watch(self, user_ids: Iterable[UserId]) -> int:
        """Watch these too. The ticket is settled when the entries of all of them are held."""
        ticket = self._ticket()
        ids = list(dict.fromkeys(user_ids))
        if self._may_ask(ticket, self._excess(ids)):
            self._watch(ids)
            if not self._watchlist.wait(ticket, ids):
                self._settle(ticket)
        return ticket

    def unwatch(self, user_ids: Iterable[UserId]) -> int:
        """Watch these no longer; what is held of them is forgotten at once."""
        ticket = self._ticket()
        if self._may_ask(ticket):
            ids = [user_id for user_id in dict.fromkeys(user_ids) if user_id in self.view.watched]
            self._settle_all(self._watchlist.unwatch(ids))
            if ids and self._is_live():
                self._ask(Unwatch(user_ids=ids), ticket)
            else:
                self._waiting[ticket] = Wanted(Unwatch(user_ids=ids))
                self._settle_withdrawals()
        return ticket

    def activity(self, idle: bool, idle_for: float, now: float, busy: bool | None = None) -> int:
        """Say whether the person is idle, and for how many seconds already. While not connected, hello says it."""
        ticket = self._ticket()
        if self._may_ask(ticket):
            if busy is None and self._idle is not None:
                busy = self._idle.busy
            self._idle = Level(idle, now - idle_for, busy)
            self._ask_or_wait(Wanted(self._activity(now)), ticket)
        return ticket

    def request(self, message: SetStatus | Query, until: float | None = None, text_until: float | None = None) -> int:
        """Ask this, once there is a connection. `until`, `text_until`: when a status and its text are to end, by the
        core's clock: they are turned into the server's time when they are sent, and replace what the message says, if
        the server told its time."""
        ticket = self._ticket()
        excess = _too_large(message.user_ids, self._limits) if isinstance(message, Query) else None
        if self._may_ask(ticket, excess):
            self._ask_or_wait(Wanted(message, until, text_until), ticket)
        return ticket

    def give_up(self, ticket: int, seconds: float) -> PresenceError:
        """Nobody waits for this ticket any more, `seconds` after it was given out. Returns what to say to them.

        A request that was not sent yet will not be; users that were to be watched stay in the watch list.
        """
        was_waiting = self._waiting.pop(ticket, None) is not None
        was_asked = [conversation.forget(ticket) for conversation in self._conversations()]
        refusal = self._watchlist.give_up(ticket)
        if refusal is not None:
            return refusal
        if was_waiting or not (self._is_live() or any(was_asked)):
            return NotConnected(seconds, self.state.reason, self.state.http_status or None)
        return RequestTimedOut(seconds)

    # -- connecting ------------------------------------------------------------------------------------------------

    def _connect(self, now: float) -> None:
        self._main = self._prepare(self._attempts.kind, now)
        self._become(self.state._replace(phase=Phase.CONNECTING, kind=self._main.kind, retry_in=None))
        self._notice_at = None if self.state.reason else now + NOTICE

    def _prepare(self, kind: Kind, now: float) -> Conversation:
        self._last_number += 1
        conversation = Conversation(self._last_number, kind, now)
        if self._identity.has_tokens:
            self._actions.append(AskToken(conversation.number))
        else:
            self._open(conversation, self._identity.token, now)
        return conversation

    def _open(self, conversation: Conversation, token: str | None, now: float) -> None:
        conversation.connecting(now)
        self._identity.token = token
        self._actions.append(Open(conversation.number, conversation.kind, token))

    def _welcomed(self, conversation: Conversation, welcome: Welcome, now: float) -> None:
        ours, theirs = self._identity.ids.name, welcome.user_ids or "number"
        if ours != theirs:
            reason = (
                f"the server's user ids are of the kind {theirs}, and this client's {ours}: pass user_ids={theirs!r}"
            )
            self._leave(End(CloseCode.MALFORMED, reason), now)
            return
        former = self._main
        if conversation is self._successor:
            self._promote(conversation)
        self._was_welcomed = True
        self._limits = welcome.limits
        self._notice_at = None
        self._attempts.welcomed(conversation.kind)
        self._move_at = self._renew_at = None
        if conversation.kind is Kind.REST and (delay := self._attempts.upgrade_delay()) is not None:
            self._move_at = now + delay
        self.view.receive(welcome)
        self._become(ConnectionState(Phase.ONLINE, conversation.kind))
        if welcome.self_ is not None:
            self._tell_self(welcome.self_)
        self._say_what_waited(conversation, now)
        if former is not None and former is not conversation:
            self._attempts.ended(former, now)
            former.retire(now)
            self._retired[former.number] = former
            if not former.asked:
                self._retire(former, now)

    def _say_what_waited(self, conversation: Conversation, now: float) -> None:
        """What was asked for before the welcome, and was not in its hello."""
        waiting, self._waiting = self._waiting, {}
        gone = tuple(ticket for ticket, wanted in waiting.items() if isinstance(wanted.message, Unwatch))
        # Before the watches: somebody may have been unwatched and watched again since hello.
        ids = [user_id for user_id in conversation.hello_ids if user_id not in self.view.watched]
        ids += [user_id for ticket in gone for user_id in waiting[ticket].message.user_ids if user_id not in ids]  # type: ignore[union-attr]
        if ids:
            self._ask(Unwatch(user_ids=ids), *gone)
        self._watch_left_out()
        levels = [ticket for ticket, wanted in waiting.items() if isinstance(wanted.message, Activity)]
        if conversation.said_idle == self._idle:
            self._settle_all(levels)
        elif levels or not self._identity.observer:
            self._settle_all(ticket for ticket in levels if ticket in conversation.told)
            self._ask(self._activity(now), *(ticket for ticket in levels if ticket not in conversation.told))
        for ticket, wanted in waiting.items():
            if isinstance(wanted.message, SetStatus | Query):
                self._send_wanted(wanted, ticket)

    def _promote(self, successor: Conversation) -> None:
        """Follow `successor` from now on. Before its hello there is nothing to take over."""
        self._main, self._successor = successor, None
        if successor.view is not None:
            self._watchlist.adopt(successor.view)

    def _main_kind(self) -> Kind | None:
        return None if self._main is None else self._main.kind

    def _retire(self, former: Conversation, now: float) -> None:
        self._retired.pop(former.number, None)
        if former.session.state is State.CLOSING:
            self._close(former, CloseCode.NORMAL, "bye")
        else:
            self._close(former, CloseCode.GOING_AWAY, "moved to another connection")
        self._orphan(former, End(CloseCode.ABNORMAL, "no reply in time"), now)

    def _say_bye(self, conversation: Conversation, now: float) -> None:
        """Others see the device go at once. The replies that it is owed come before the end."""
        is_greeted = conversation.session.state in (State.GREETED, State.LIVE)
        if is_greeted:
            self._send(conversation, Bye())
        if is_greeted and conversation.leave(now):
            self._retired[conversation.number] = conversation
        elif is_greeted:
            self._close(conversation, CloseCode.NORMAL, "bye")
        else:
            self._close(conversation, CloseCode.ABNORMAL, "closed by the program")

    def _check(self, conversation: Conversation, now: float) -> None:
        verdict = conversation.check(now)
        if verdict is Verdict.ASK:
            self._actions.append(Send(conversation.number, conversation.ping()))
        elif verdict is Verdict.TOO_LATE and conversation.is_retiring:
            self._retire(conversation, now)
        elif verdict is Verdict.TOO_LATE:
            reason = "no welcome in time" if conversation.has_token else "no token in time"
            reason = reason if conversation.welcome is None else "no answer to ping"
            self._close(conversation, CloseCode.ABNORMAL, reason)
            self.lost(conversation.number, End(CloseCode.ABNORMAL, reason, was_reached=conversation.has_token), now)

    def _come_back(self, conversation: Conversation, end: End, now: float) -> None:
        """There is no connection any more: try again, or stop."""
        self._last_end = end
        delay = self._attempts.next(conversation, end, self._identity.has_tokens, now)
        if delay is None:
            self._stop(end, now)
        elif advice(end.code) is Advice.RENEW:
            self._connect(now)
        else:
            self._retry_at = now + delay
            self._become(self._state_after(end, Phase.WAITING, None, delay))

    def _state_after(
        self, end: End, phase: Phase, kind: Kind | None = None, retry_in: float | None = None
    ) -> ConnectionState:
        return ConnectionState(phase, kind, retry_in, end.code, end.reason, end.http_status)

    def _leave(self, end: End, now: float) -> None:
        """End for good, with a bye."""
        closing = [each for each in (self._main, self._successor) if each is not None]
        owing, self._retired = self._retired, {}
        self._main = self._successor = None
        self._stop(end, now)
        self._retired = {number: each for number, each in owing.items() if each.leave(now)}
        for conversation in closing:
            self._say_bye(conversation, now)
        for former in owing.values():
            if former.number not in self._retired:
                self._retire(former, now)

    def _stop(self, end: End, now: float) -> None:
        """End for good; whoever waits hears why."""
        self._retry_at = self._move_at = self._rewatch_at = self._renew_at = self._notice_at = None
        self._last_end = end
        self.view.lost(now)
        self._become(self._state_after(end, Phase.CLOSED))
        for former in list(self._retired.values()):
            self._retire(former, now)
        waiting, self._waiting = self._waiting, {}
        self._settle_all([*waiting, *self._watchlist.take_waiters()], self._closed())

    # -- listening -------------------------------------------------------------------------------------------------

    def _follow(self, message: AnyServerMessage, asked: Asked | None, now: float) -> None:
        match message:
            case SelfChanged():
                self._tell_self(message.view)
            case Reconnect(after_ms=after_ms):
                assert self._main is not None
                self._move_at = now + self._attempts.begin_moving(self._main, max(0.0, after_ms / 1000), now)
            case Expiring():
                self._expiring()
            case Ok() | Error() if asked is not None and isinstance(asked.message, Auth):
                self._renewed(message, now)
            case Snapshot() | Diff():
                changes, tickets = self._watchlist.fold(message)
                if changes:
                    self._actions.append(Changed(changes))
                self._settle_all(tickets)
            case Error() if self._is_live() and (asked is None or isinstance(asked.message, Watch)):
                failure = _failure_of(message)
                tickets, is_to_be_asked_again = self._watchlist.refused(message, failure)
                self._settle_all(tickets, failure)
                if is_to_be_asked_again:
                    self._rewatch_at = now + self._attempts.rewatch_delay(failure.retry_after)

    def _expiring(self) -> None:
        """The token ends soon: another one is asked for, once. A fixed one is all there is, and ends."""
        assert self._main is not None
        if self._identity.has_tokens and not self._main.is_renewing:
            self._main.is_renewing = True
            self._actions.append(AskToken(self._main.number))

    def _renewed(self, answer: AnyServerMessage, now: float) -> None:
        """What the server says of the new token. If it is refused, another connection is tried, beside the one that is
        about to end."""
        assert self._main is not None
        if not isinstance(answer, Error):
            self._main.is_renewing = False
        elif answer.code == 503:
            self._renew_at = now + self._attempts.rewatch_delay()
        else:
            delay = self._attempts.move_delay(self._main.kind, None)
            self._move_at = None if delay is None else now + delay

    def _tell_self(self, self_view: SelfView) -> None:
        self.self_view = self_view
        self._actions.append(SelfTold(self_view))

    def _orphan(self, conversation: Conversation, end: End, now: float) -> None:
        """What was asked on this connection will not be answered."""
        for tickets, message in conversation.take_asked():
            if self.state.phase is Phase.CLOSED:
                self._settle_all(tickets, self._closed(was_sent=True))
            elif isinstance(message, Unwatch):
                self._settle_all(tickets)  # it went with the connection, and the next hello leaves them out
            elif isinstance(message, Activity):
                for ticket in tickets:
                    self._ask_or_wait(Wanted(self._activity(now)), ticket)
            elif isinstance(message, Query):
                for ticket in tickets:
                    self._ask_or_wait(Wanted(Query(user_ids=message.user_ids)), ticket)
            else:
                self._settle_all(tickets, ConnectionClosed(end.code, end.reason, Advice.RECONNECT, was_sent=True))

    # -- parts -----------------------------------------------------------------------------------------------------

    def _conversations(self) -> Iterator[Conversation]:
        yield from (each for each in (self._main, self._successor) if each is not None)
        yield from self._retired.values()

    def _find(self, link: int) -> Conversation | None:
        return next((each for each in self._conversations() if each.number == link), None)

    def _is_live(self) -> bool:
        return self._main is not None and self._main.is_live

    def _send(self, conversation: Conversation, message: AnyClientMessage) -> None:
        self._actions.append(Send(conversation.number, conversation.send(message)))

    def _close(self, conversation: Conversation, code: int, reason: str) -> None:
        self._actions.append(Close(conversation.number, code, reason))

    def _ask(self, message: AnyClientMessage, *tickets: int) -> None:
        assert self._main is not None
        self._actions.append(Send(self._main.number, self._main.ask(message, *tickets)))

    def _ask_or_wait(self, wanted: Wanted, ticket: int) -> None:
        if self._is_live():
            self._send_wanted(wanted, ticket)
        else:
            self._waiting[ticket] = wanted

    def _send_wanted(self, wanted: Wanted, ticket: int) -> None:
        assert self._main is not None
        message = wanted.message
        if isinstance(message, SetStatus):
            for name in ("until", "text_until"):
                at = getattr(wanted, name)
                epoch = None if at is None else self._main.epoch_at(at)
                if epoch is not None:
                    setattr(message, name, format_time(math.ceil(epoch)))
        self._ask(message, ticket)

    def _settle_withdrawals(self) -> None:
        """Users are unwatched as soon as no connection watches them: nothing is to be said unless hello named them."""
        named = self._main.hello_ids if self._main is not None and self._main.is_greeted else ()
        for ticket, (message, *_) in list(self._waiting.items()):
            if isinstance(message, Unwatch) and not set(message.user_ids).intersection(named):
                del self._waiting[ticket]
                self._settle(ticket)

    def _activity(self, now: float) -> Activity:
        """What there is to say of idleness, now."""
        idle, since, busy = Level(False, now) if self._idle is None else self._idle
        idle_for = min(int((now - since) * 1000), MAX_IDLE_FOR) if idle else None
        return Activity(idle=idle, idle_for_ms=idle_for, busy=busy)

    def _watch(self, user_ids: Iterable[UserId]) -> None:
        """Ask for those of these whom nobody asked for yet; without a connection, the next hello or welcome will."""
        if self._main is None or not self._main.is_live:
            self.view.watch(user_ids)
            return
        # The view must know the id before it can say whom to ask for.
        if ids := self.view.watch(user_ids, self._main.next_id):
            self._ask(Watch(user_ids=ids))

    def _watch_left_out(self) -> None:
        if self._is_live() and (left_out := self.view.left_out()):
            self._watch(left_out)

    def _ticket(self) -> int:
        self._last_ticket += 1
        return self._last_ticket

    def _may_ask(self, ticket: int, refusal: RequestFailed | None = None) -> bool:
        """Whether to go on; else it is settled with why not, and nothing was done."""
        error = self._closed() if self.state.phase is Phase.CLOSED else refusal
        if error is not None:
            self._settle(ticket, error=error)
        return error is None

    def _excess(self, user_ids: list[UserId]) -> RequestFailed | None:
        """Why these may not be watched too: the server would end the connection, or refuse each hello to come."""
        if self._limits is None:
            return None
        if not self._is_live() and len(self.view.watched.union(user_ids)) > self._limits.max_watched:
            reason = f"must be at most {self._limits.max_watched} in all"
            return RequestFailed(400, "too_many_watched", reason, [Detail("userIds", reason)])
        return _too_large(user_ids, self._limits)

    def _closed(self, was_sent: bool = False) -> ConnectionClosed:
        return ConnectionClosed(self._last_end.code, self._last_end.reason, Advice.STOP, was_sent)

    def _settle(self, ticket: int, reply: AnyServerMessage | None = None, error: PresenceError | None = None) -> None:
        self._actions.append(Settled(ticket, reply, error))

    def _settle_all(self, tickets: Iterable[int], error: PresenceError | None = None) -> None:
        for ticket in tickets:
            self._settle(ticket, error=error)

    def _become(self, state: ConnectionState) -> None:
        if state != self.state:
            self.state = state
            self._actions.append(Became(state))


def _too_large(user_ids: list[UserId], limits: Limits | None) -> RequestFailed | None:
    if limits is None:
        return None
    size = sum(map(_bytes_of, user_ids)) if user_ids and isinstance(user_ids[0], str) else len(user_ids) * BYTES_OF_ID
    if size <= limits.max_message:
        return None
    reason = f"{len(user_ids)} ids do not fit into one message of {limits.max_message} bytes"
    return RequestFailed(413, "too_large", reason, [Detail("userIds", reason)])


def _bytes_of(user_id: UserId) -> int:
    """Of an id that is a string, in a message: three bytes of UTF-8 hold most of what people write."""
    return len(str(user_id).encode()) + 3


def _failure_of(error: Error) -> RequestFailed:
    retry_after = None if error.retry_after_ms is None else error.retry_after_ms / 1000
    return RequestFailed(error.code, error.error, error.message, error.details, retry_after)
