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
"""

from collections.abc import Callable, Iterable, Iterator

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
from presence_client.watchlist import Watchlist
from presence_protocol.close_codes import Advice, CloseCode, advice
from presence_protocol.errors import OutOfTurn
from presence_protocol.limits import MAX_IDLE_FOR
from presence_protocol.messages import (
    Activity,
    AnyClientMessage,
    AnyServerMessage,
    Bye,
    Diff,
    Error,
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
from presence_protocol.view import View

POLICY = Policy()


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
        self._waiting: dict[int, AnyClientMessage] = {}  # by ticket: what is sent once there is a connection
        self._idle: tuple[bool, float] | None = None  # what was said of idleness, and since when it is so
        self._was_welcomed = False
        self._last_end = End(0)
        self._retry_at: float | None = None
        self._move_at: float | None = None
        self._rewatch_at: float | None = None

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
        times = [self._retry_at, self._move_at, self._rewatch_at, *(each.due for each in self._conversations())]
        return min((time for time in times if time is not None), default=None)

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

    def start(self, now: float) -> None:
        """Connect for the first time."""
        self._connect(now)

    def leave(self, now: float) -> None:
        """Leave deliberately: others see the device go at once. Nothing comes after it."""
        closing = [each for each in (self._main, self._successor) if each is not None]
        self._main = self._successor = None
        self._stop(End(CloseCode.NORMAL, "closed by the program"), now)
        for conversation in closing:
            self._say_bye(conversation)
            self._orphan(conversation, self._last_end)

    # -- events of links -------------------------------------------------------------------------------------------

    def token(self, link: int, token: str | None, now: float) -> None:
        """The token that `AskToken` asked for."""
        if (conversation := self._find(link)) is not None:
            self._open(conversation, token, now)

    def token_failed(self, link: int, reason: str, now: float) -> None:
        """There is no token; it is asked for again after the backoff."""
        self.lost(link, End(CloseCode.ABNORMAL, f"no token: {reason}", was_reached=False), now)

    def opened(self, link: int, now: float) -> None:
        """The link is connected, and waits for hello."""
        if (conversation := self._find(link)) is None:
            return
        view = conversation.view = self.view if conversation is self._main else self.view.fork()
        conversation.hello_ids, cursor = view.hello()
        hello = self._identity.hello(conversation.hello_ids, cursor, is_first=not self._was_welcomed)
        if self._idle is not None and not hello.observer:
            hello.idle, since = self._idle
            hello.idle_for_ms = min(int((now - since) * 1000), MAX_IDLE_FOR) if hello.idle else None
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
        if asked is not None and asked.ticket is not None:
            if isinstance(message, Error):
                self._settle(asked.ticket, error=_failure_of(message))
            else:
                self._settle(asked.ticket, message)
        if conversation.is_retiring and not conversation.asked:
            self._retire(conversation)

    def lost(self, link: int, end: End, now: float) -> None:
        """The link ended, or never came about."""
        if (conversation := self._find(link)) is None:
            return
        self._retired.pop(link, None)
        if conversation is self._successor:
            self._successor = None
            if advice(end.code) is not Advice.STOP and self._main is not None:  # and keep the one there is
                delay = self._attempts.move_delay(self._main.kind, end.retry_after)
                self._move_at = None if delay is None else now + delay
        elif conversation is self._main:
            self._main = None
            self._move_at = self._rewatch_at = None
            self.view.lost(now)
            self._attempts.failed(conversation, end)
            if self._successor is None:
                self._come_back(conversation, end, now)
            else:
                # The server may have closed it with 4409, because of the very one that is to replace it.
                self._promote(self._successor)
                self._become(ConnectionState(Phase.CONNECTING, self._main_kind(), None, end.code, end.reason))
        # Last: whether a request is asked again depends on whether there will be another connection.
        self._orphan(conversation, end)

    # -- requests --------------------------------------------------------------------------------------------------

    def watch(self, user_ids: Iterable[int]) -> int:
        """Watch these too. The ticket is settled when the entries of all of them are held."""
        ticket = self._ticket()
        if self._may_ask(ticket):
            ids = list(dict.fromkeys(user_ids))
            self._watch(ids)
            if not self._watchlist.wait(ticket, ids):
                self._settle(ticket)
        return ticket

    def unwatch(self, user_ids: Iterable[int]) -> int:
        """Watch these no longer; what is held of them is forgotten at once."""
        ticket = self._ticket()
        if self._may_ask(ticket):
            ids = [user_id for user_id in dict.fromkeys(user_ids) if user_id in self.view.watched]
            self._settle_all(self._watchlist.unwatch(ids))
            self._tell(Unwatch(user_ids=ids) if ids else None, ticket)
        return ticket

    def activity(self, idle: bool, idle_for: float, now: float) -> int:
        """Say whether the person is idle, and for how many seconds already. While not connected, hello says it."""
        ticket = self._ticket()
        if self._may_ask(ticket):
            self._idle = (idle, now - idle_for)
            self._tell(Activity(idle=idle, idle_for_ms=int(idle_for * 1000) if idle else None), ticket)
        return ticket

    def request(self, message: SetStatus | Query) -> int:
        """Ask this, once there is a connection."""
        ticket = self._ticket()
        if self._may_ask(ticket):
            self._ask_or_wait(message, ticket)
        return ticket

    def give_up(self, ticket: int, seconds: float) -> PresenceError:
        """Nobody waits for this ticket any more, `seconds` after it was given out. Returns what to say to them.

        A request that was not sent yet will not be; users that were to be watched stay in the watch list.
        """
        was_waiting = self._waiting.pop(ticket, None) is not None
        refusal = self._watchlist.give_up(ticket)
        if refusal is not None:
            return refusal
        if was_waiting or not self._is_live():
            return NotConnected(seconds, self._last_end.reason)
        return RequestTimedOut(seconds)

    # -- connecting ------------------------------------------------------------------------------------------------

    def _connect(self, now: float) -> None:
        self._main = self._prepare(self._attempts.kind, now)
        self._become(self.state._replace(phase=Phase.CONNECTING, kind=self._main.kind, retry_in=None))

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
        former = self._main
        if conversation is self._successor:
            self._promote(conversation)
        self._was_welcomed = True
        self._attempts.welcomed(conversation.kind)
        self._move_at = None
        if conversation.kind is Kind.REST and (delay := self._attempts.upgrade_delay()) is not None:
            self._move_at = now + delay
        self.view.receive(welcome)
        self._become(ConnectionState(Phase.ONLINE, conversation.kind))
        if welcome.self_ is not None:
            self._tell_self(welcome.self_)
        self._watch_left_out()
        if gone := [user_id for user_id in conversation.hello_ids if user_id not in self.view.watched]:
            self._ask(Unwatch(user_ids=gone), None)
        waiting, self._waiting = self._waiting, {}
        for ticket, message in waiting.items():
            self._ask(message, ticket)
        if former is not None and former is not conversation:
            self._attempts.ended(former, now)
            former.retire(now)
            self._retired[former.number] = former
            if not former.asked:
                self._retire(former)

    def _promote(self, successor: Conversation) -> None:
        """Follow `successor` from now on. Before its hello there is nothing to take over."""
        self._main, self._successor = successor, None
        if successor.view is not None:
            self._watchlist.adopt(successor.view)

    def _main_kind(self) -> Kind | None:
        return None if self._main is None else self._main.kind

    def _retire(self, former: Conversation) -> None:
        self._retired.pop(former.number, None)
        self._close(former, CloseCode.GOING_AWAY, "moved to another connection")
        self._orphan(former, End(CloseCode.ABNORMAL, "no reply in time"))

    def _say_bye(self, conversation: Conversation) -> None:
        if conversation.session.state in (State.GREETED, State.LIVE):
            self._send(conversation, Bye())
            self._close(conversation, CloseCode.NORMAL, "bye")
        else:
            self._close(conversation, CloseCode.ABNORMAL, "closed by the program")

    def _check(self, conversation: Conversation, now: float) -> None:
        verdict = conversation.check(now)
        if verdict is Verdict.ASK:
            self._actions.append(Send(conversation.number, conversation.ping()))
        elif verdict is Verdict.TOO_LATE and conversation.is_retiring:
            self._retire(conversation)
        elif verdict is Verdict.TOO_LATE:
            reason = "no welcome in time" if conversation.welcome is None else "no answer to ping"
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
            self._become(ConnectionState(Phase.WAITING, None, delay, end.code, end.reason))

    def _stop(self, end: End, now: float) -> None:
        """End for good; whoever waits hears why."""
        self._retry_at = self._move_at = self._rewatch_at = None
        self._last_end = end
        self.view.lost(now)
        self._become(ConnectionState(Phase.CLOSED, None, None, end.code, end.reason))
        for former in list(self._retired.values()):
            self._retire(former)
        waiting, self._waiting = self._waiting, {}
        self._settle_all([*waiting, *self._watchlist.take_waiters()], self._closed())

    # -- listening -------------------------------------------------------------------------------------------------

    def _follow(self, message: AnyServerMessage, asked: Asked | None, now: float) -> None:
        match message:
            case SelfChanged():
                self._tell_self(SelfView(message.user_id, message.status, message.override, message.devices))
            case Reconnect(after_ms=after_ms):
                self._attempts.begin_moving()
                self._move_at = now + after_ms / 1000
            case Snapshot() | Diff():
                changes, tickets = self._watchlist.fold(message)
                if changes:
                    self._actions.append(Changed(changes))
                self._settle_all(tickets)
            case Error() if asked is None or isinstance(asked.message, Watch):
                failure = _failure_of(message)
                tickets, is_to_be_asked_again = self._watchlist.refused(message, failure)
                self._settle_all(tickets, failure)
                if is_to_be_asked_again:
                    self._rewatch_at = now + self._attempts.rewatch_delay()

    def _tell_self(self, self_view: SelfView) -> None:
        self.self_view = self_view
        self._actions.append(SelfTold(self_view))

    def _orphan(self, conversation: Conversation, end: End) -> None:
        """What was asked on this connection will not be answered."""
        for ticket, message in conversation.take_asked():
            if ticket is None:
                continue
            if self.state.phase is Phase.CLOSED:
                self._settle(ticket, error=self._closed())
            elif isinstance(message, Unwatch | Activity):
                self._settle(ticket)  # the next hello says it
            elif isinstance(message, Query):
                message.id = None
                self._ask_or_wait(message, ticket)
            else:
                self._settle(ticket, error=ConnectionClosed(end.code, end.reason, Advice.RECONNECT))

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

    def _ask(self, message: AnyClientMessage, ticket: int | None) -> None:
        assert self._main is not None
        self._actions.append(Send(self._main.number, self._main.ask(message, ticket)))

    def _ask_or_wait(self, message: AnyClientMessage, ticket: int) -> None:
        if self._is_live():
            self._ask(message, ticket)
        else:
            self._waiting[ticket] = message

    def _tell(self, message: AnyClientMessage | None, ticket: int) -> None:
        """Send what the next hello would say anyway; None: there is nothing to say."""
        if message is not None and self._is_live():
            self._ask(message, ticket)
        else:
            self._settle(ticket)

    def _watch(self, user_ids: Iterable[int]) -> None:
        """Ask for those of these whom nobody asked for yet; without a connection, the next hello or welcome will."""
        if self._main is None or not self._main.is_live:
            self.view.watch(user_ids)
            return
        # The view must know the id before it can say whom to ask for: an id that is not used does no harm.
        message = Watch(id=self._main.next_id(), user_ids=[])
        message.user_ids = self.view.watch(user_ids, message.id)
        if message.user_ids:
            self._actions.append(Send(self._main.number, self._main.ask(message, None)))

    def _watch_left_out(self) -> None:
        if self._is_live() and (left_out := self.view.left_out()):
            self._watch(left_out)

    def _ticket(self) -> int:
        self._last_ticket += 1
        return self._last_ticket

    def _may_ask(self, ticket: int) -> bool:
        if self.state.phase is Phase.CLOSED:
            self._settle(ticket, error=self._closed())
        return self.state.phase is not Phase.CLOSED

    def _closed(self) -> ConnectionClosed:
        return ConnectionClosed(self._last_end.code, self._last_end.reason, Advice.STOP)

    def _settle(self, ticket: int, reply: AnyServerMessage | None = None, error: PresenceError | None = None) -> None:
        self._actions.append(Settled(ticket, reply, error))

    def _settle_all(self, tickets: Iterable[int], error: PresenceError | None = None) -> None:
        for ticket in tickets:
            self._settle(ticket, error=error)

    def _become(self, state: ConnectionState) -> None:
        if state != self.state:
            self.state = state
            self._actions.append(Became(state))


def _failure_of(error: Error) -> RequestFailed:
    return RequestFailed(error.code, error.error, error.message, error.details)
