"""What each message of a client does. One function a message; `HANDLERS` is the table.

The hub has already made sure that the message is allowed in the session's state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from presence_protocol.close_codes import CloseCode
from presence_protocol.fields import format_time
from presence_protocol.messages import (
    Activity,
    Auth,
    Bye,
    Hello,
    Limits,
    Ok,
    Ping,
    Pong,
    Query,
    SetStatus,
    Statuses,
    Unwatch,
    Watch,
    Welcome,
)
from presence_protocol.session import Role, advance
from presence_server.application import refusals, slices
from presence_server.application.cursors import digest_of, resumable_seq
from presence_server.application.entries import entry_of, self_view_of
from presence_server.application.ports import Wanted
from presence_server.application.principals import Denied, Principal
from presence_server.application.sessions import Session, session_id
from presence_server.application.slices import messages
from presence_server.application.words import INVISIBLE_FORBIDDEN, check_word, word_of
from presence_server.domain.model import Shown, Status, UserKey
from presence_server.domain.transitions import Connect, Say, SetActivity, Transition

if TYPE_CHECKING:
    from presence_server.application.hub_port import HubPort
    from presence_server.application.watching import Lookup

FRESH: Final = 1.0
"""Seconds after its handshake within which a hello was let in with that. Later it is one more: thousands who are
connected already may say hello at once as well."""

DENIED_CODES: Final = {
    401: CloseCode.UNAUTHENTICATED,
    403: CloseCode.FORBIDDEN,
    503: CloseCode.UNAVAILABLE,
}
"""How a connection is closed whose hello is denied, by the status that a request would be answered with."""

LEAST_ENTRY: Final = 160
"""Bytes that `messages` allows for an entry at least: no more users are looked up than may fit a part."""


def _hello(hub: HubPort, session: Session, hello: Hello, now: float) -> None:
    if hub.is_draining:
        hub.close(session, CloseCode.UNAVAILABLE, "the server is draining", now)
        return
    over = hub.ceilings.memory()
    if over is None and now - session.sign_of_life > FRESH:
        over = hub.admission.take(now)
    if over is not None:
        hub.turn_away(session, over, hello.id, now)
        return
    wanted = Wanted() if hello.observer else Wanted(hello.user_id, hello.device_id)
    hub.authenticate(session.peer, hello.token, wanted, now, partial(_authenticated, hub, session, hello))


def _authenticated(hub: HubPort, session: Session, hello: Hello, made: Principal | Denied) -> None:
    if session.is_over:
        return  # it left while somebody was asked
    now = hub.clock.now()
    denied = made if isinstance(made, Denied) else _not_allowed(made, hello)
    if denied is not None:
        hub.close(session, DENIED_CODES[denied.status], f"{denied.field}: {denied.reason}", now)
        return
    assert isinstance(made, Principal)
    hub.admit(session, made, now)
    if not _is_within_limits(hub, session, hello, now):
        return
    seeing = hello.user_id or made.user_id
    session.viewer = 0 if seeing is None else hub.keys.key(seeing)
    if session.viewer and (hello.observer or hello.user_id is None):
        hub.permissions.join(session)
    if hub.is_draining:
        hub.close(session, CloseCode.UNAVAILABLE, "the server is draining", now)
    elif (watch := hub.keys.distinct(hello.watch or (), hub.limits.max_watched)) is None:
        hub.refusals["max_watched"] += 1
        reason = f"too_many_watched: more than {hub.limits.max_watched}"
        hub.close(session, CloseCode.MALFORMED, reason, now)
    elif hello.status == "OFFLINE" and not hub.limits.allows_invisible:
        hub.close(session, CloseCode.FORBIDDEN, ": ".join(INVISIBLE_FORBIDDEN), now)
    elif hello.observer or hello.user_id is None or hello.device_id is None or hello.platform is None:
        _watch_first(hub, session, hello, watch, False, now)
    else:
        session.user_id, session.device_id = hub.keys.key(hello.user_id), hello.device_id
        session.platform = hello.platform
        connect = Connect(
            session.user_id,
            hello.device_id,
            hub.limits.platforms(hello.platform),
            session.number,
            session.number,
            hello.idle,
            None if hello.idle_for_ms is None else hello.idle_for_ms / 1000,
            None if hello.status is None else Status(hello.status),
            hello.busy,
        )
        hub.engine.submit(connect, now, partial(_connected, hub, session, hello, watch, now))


def _is_within_limits(hub: HubPort, session: Session, hello: Hello, now: float) -> bool:
    """Whether its principal may have one more connection, and watch as many; else it is refused, and closed."""
    if (purse := session.purse) is None:
        return True
    over = purse.connect()
    session.is_counted = over is None
    over = over or purse.message(now)
    if over is None and hello.watch:
        over = purse.watches(len(hello.watch), now)
    return hub.may_have(session, over, hello.id, now)


def _not_allowed(principal: Principal, hello: Hello) -> Denied | None:
    """Why `principal` may not say this hello; None lets it."""
    if hello.observer or hello.user_id is None:
        return principal.may_be_observer()
    if (denied := principal.may_speak_for(hello.user_id, hello.device_id, hello.platform)) is not None:
        return denied
    return principal.may_watch() if hello.watch else None


def _auth(hub: HubPort, session: Session, message: Auth, now: float) -> None:
    """A new token for a connection that stays: it must be the same principal's, and only its end may differ."""
    peer = session.peer._replace(ticket=None, authorization=None)
    wanted = Wanted(hub.keys.user_id(session.user_id) or None, session.device_id or None)
    hub.authenticate(peer, message.token, wanted, now, partial(_renewed, hub, session, message))


def _renewed(hub: HubPort, session: Session, message: Auth, made: Principal | Denied) -> None:
    if session.is_over:
        return
    before = session.principal
    if isinstance(made, Principal) and (before is None or made.user_id != before.user_id):
        made = Denied(403, "must be of the same user", "token")
    if isinstance(made, Principal) and session.user_id:
        made = made.may_speak_for(hub.keys.user_id(session.user_id), session.device_id) or made
    elif isinstance(made, Principal):
        made = made.may_be_observer() or made
    if isinstance(made, Denied):
        hub.send(session, refusals.denied(made, message.id))
        return
    hub.admit(session, made, hub.clock.now())
    if message.id is not None:
        hub.send(session, Ok(id=message.id))


def _connected(
    hub: HubPort, session: Session, hello: Hello, watch: list[UserKey], now: float, made: Transition | None
) -> None:
    if session.is_over:
        return  # it left while the engine was at it; its end was submitted after its beginning
    if made is None or made.device is None:
        hub.close(session, CloseCode.UNAVAILABLE, "not available now", now)
    else:
        session.session_number = made.device.session
        hub.join(session)
        _watch_first(hub, session, hello, watch, made.continued, now)


def _watch_first(
    hub: HubPort, session: Session, hello: Hello, watch: list[UserKey], continued: bool, now: float
) -> None:
    """The watch list of the hello, as keys, has to be known before `welcome` can say whether the cursor is covered."""
    watched = None if hello.watch is None else watch
    answer = partial(_welcome, hub, session, hello.id, watched, hello.cursor, continued, now)
    if watch:
        hub.watching.watch(session, watch, now, answer)
    else:
        for _ in answer(None, True):
            pass


def _welcome(
    hub: HubPort,
    session: Session,
    id: int | None,
    watched: list[UserKey] | None,
    given: str | None,
    continued: bool,
    now: float,
    lookup: Lookup | None,
    known: bool,
) -> Iterator[None]:
    """`given` is the cursor of the hello. Without a `lookup` there is nobody to watch."""
    seq = resumable_seq(hub.engine, given, partial(digest_of, watched or ())) if known else None
    if seq is not None and not hub.sight.covers(session.viewer, seq):
        seq = None
    session.state = advance(Role.SERVER, session.state, "welcome")
    hub.liveness.start_pings(session, now)
    hub.journal.began(session, now)
    # The truth goes out with `welcome`; an event about it that is still due would only repeat it.
    truth = self_view_of(hub.engine.truth(session.user_id), hub.keys) if session.user_id else None
    times = hub.limits.times
    welcome = Welcome(
        id=id,
        session_id=session_id(hub.engine.epoch, session),
        server_time=format_time(int(hub.clock.utc())),
        continued=continued,
        resumed=seq is not None,
        self_=truth,
        limits=Limits(
            ping_interval=int(times.ping_interval * 1000),
            pong_timeout=int(times.pong_timeout * 1000),
            max_watched=hub.limits.max_watched,
            max_message=hub.limits.max_message,
            max_batch=hub.limits.max_batch,
        ),
        user_ids=hub.limits.user_ids.name,
    )
    hub.send(session, welcome)
    if not known:
        hub.send(session, hub.watching.refusal(lookup, None))
    elif lookup is not None and watched is not None:
        if seq is None:
            yield from hub.watching.tell(lookup, watched, None)
        else:
            yield from hub.watching.tell_changed(lookup, seq)
    elif watched is not None:
        hub.watching.tell_nothing(session)
    if hub.is_draining:
        hub.ask_to_reconnect(session)  # it was being greeted when all others were asked
    hub.read_on(session)


def _watch(hub: HubPort, session: Session, message: Watch | Unwatch, now: float) -> None:
    if not _may_watch(hub, session, message.id):
        return
    if session.purse is not None:
        over = session.purse.watches(len(message.user_ids), now)
        if not hub.may_have(session, over, message.id, now):
            return
    hub.watching.handle(session, message, now)


def _status(hub: HubPort, session: Session, message: SetStatus, now: float) -> None:
    if not (_has_device(hub, session, message.id) and _may_change(hub, session, message.id, now)):
        return
    word = word_of(message)
    wrong = check_word(word, hub.clock.utc())
    if wrong is not None:
        hub.send(session, refusals.refusal(400, "invalid_request", *wrong, message.id))
    elif word.status is Status.OFFLINE and not hub.limits.allows_invisible:
        hub.send(session, refusals.refusal(403, "forbidden", *INVISIBLE_FORBIDDEN, message.id))
    else:
        hub.engine.submit(Say(session.user_id, word), now, partial(_answer, hub, session, message.id))


def _activity(hub: HubPort, session: Session, message: Activity, now: float) -> None:
    if not (_has_device(hub, session, message.id) and _may_change(hub, session, message.id, now)):
        return
    idle_for = None if message.idle_for_ms is None else message.idle_for_ms / 1000
    wanted = SetActivity(session.user_id, session.device_id, session.number, message.idle, idle_for, message.busy)
    hub.engine.submit(wanted, now, partial(_answer, hub, session, message.id))


def _has_device(hub: HubPort, session: Session, id: int | None) -> bool:
    if session.user_id:
        return True
    hub.send(session, refusals.refusal(403, "forbidden", "type", "an observer has no user and no device", id))
    return False


def _may_change(hub: HubPort, session: Session, id: int | None, now: float) -> bool:
    if session.purse is None or (over := session.purse.status(now)) is None:
        return True
    return hub.may_have(session, over, id, now)


def _answer(hub: HubPort, session: Session, id: int | None, made: Transition | None) -> None:
    if made is None or made.is_refused:
        hub.refusals["max_unseen"] += made is not None
        hub.send(session, refusals.unavailable(id))
    elif made.wrong is not None:
        hub.send(session, refusals.refusal(400, "invalid_request", *made.wrong, id))
    elif id is not None:
        hub.send(session, Ok(id=id))


def _query(hub: HubPort, session: Session, message: Query, now: float) -> None:
    if len(message.user_ids) > hub.limits.max_batch:
        hub.refusals["max_batch"] += 1
        reason = f"must be at most {hub.limits.max_batch} ids"
        hub.send(session, refusals.refusal(400, "invalid_request", "userIds", reason, message.id))
    elif _may_watch(hub, session, message.id) and _may_ask(hub, session, message, now):
        _ask(hub, session, message.id, hub.keys.keys(message.user_ids), 0, now)


def _may_ask(hub: HubPort, session: Session, message: Query, now: float) -> bool:
    if session.purse is None:
        return True
    over = session.purse.queries(len(message.user_ids), now)
    return hub.may_have(session, over, message.id, now)


def _may_watch(hub: HubPort, session: Session, id: int | None) -> bool:
    denied = None if session.principal is None else session.principal.may_watch()
    if denied is not None:
        hub.send(session, refusals.denied(denied, id))
    return denied is None


def _ask(hub: HubPort, session: Session, id: int | None, user_ids: list[UserKey], start: int, now: float) -> None:
    """Ask for those from `start` on: for all if they are few, else for the next piece, when it is its turn."""
    if hub.is_at_once(len(user_ids)):
        _look_up(hub, session, id, user_ids, start, now)
    else:
        hub.begin(session, _one_step(partial(_look_up, hub, session, id, user_ids, start, now)))


def _one_step(step: Callable[[], None]) -> Iterator[None]:
    step()
    yield from ()


def _look_up(hub: HubPort, session: Session, id: int | None, user_ids: list[UserKey], start: int, now: float) -> None:
    piece = user_ids[start : start + min(slices.PIECE, hub.part_bytes // LEAST_ENTRY)]
    hub.lookup(session.viewer, piece, now, partial(_tell, hub, session, id, user_ids, start, now))


def _tell(
    hub: HubPort,
    session: Session,
    id: int | None,
    user_ids: list[UserKey],
    start: int,
    now: float,
    found: list[Shown] | None,
) -> None:
    if found is None:
        hub.send(session, refusals.unavailable(id))
        return
    # One part: the next is made once this one has gone out.
    part, _ = messages((shown.presence for shown in found), True, hub.part_bytes)[0]
    start += len(part)
    more = start < len(user_ids)
    hub.send(session, Statuses(id=id, statuses=[entry_of(presence, hub.keys) for presence in part], more=more))
    if more:
        hub.begin(session, _one_step(partial(_look_up, hub, session, id, user_ids, start, now)))


def _ping(hub: HubPort, session: Session, message: Ping, now: float) -> None:
    hub.send(session, Pong(id=message.id))


def _bye(hub: HubPort, session: Session, message: Bye, now: float) -> None:
    hub.close(session, CloseCode.NORMAL, "bye", now)


Handler = Callable[["HubPort", Session, Any, float], None]


class _Handlers(dict[type[Any], Handler]):
    """By class of message. A class that is a variant of another is looked up once."""

    def __missing__(self, message: type[Any]) -> Handler:
        handler = self[message] = self[message.__base__]  # type: ignore[index]
        return handler


HANDLERS: Final = _Handlers(
    {
        Hello: _hello,
        Watch: _watch,
        Unwatch: _watch,
        SetStatus: _status,
        Activity: _activity,
        Query: _query,
        Auth: _auth,
        Ping: _ping,
        Bye: _bye,
    }
)
