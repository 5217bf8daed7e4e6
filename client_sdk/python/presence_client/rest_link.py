"""A connection made of HTTP requests: the same messages as over a WebSocket, for where WebSockets are blocked.

It takes what a client says and answers as a server would, and makes of it the documented requests: hello is a
`/heartbeat`, or `/online` where the device is not there yet; being there is heartbeats at the interval that the
server asks for; watching is `/changes`, a long poll with the WebSocket's own cursor; bye is `/offline`, and nothing
else is, since a late one would kill the session that has moved to another connection.

Pure: it gives out `Call`s and is told their answers. What it cannot do: tell a user's own truth (REST shows the
public view), and say for how long somebody has been idle.

Of several watches that are added in a row one poll answers all. A poll that is asked about a changed set of users
gets everything anew, since the server's cursor speaks for one set: that is what the fallback costs.
"""

from typing import Any, Final
from urllib.parse import quote

import msgspec

from presence_client.answers import other_ids
from presence_client.attempts import End
from presence_client.http_exchange import (
    ENDINGS,
    GONE,
    Call,
    Cancel,
    HttpAnswer,
    PolledChanges,
    details_of,
    end_of,
    end_of_strange,
    error_of,
    status_body,
)
from presence_protocol import limits
from presence_protocol.close_codes import CloseCode
from presence_protocol.fields import PLATFORMS, format_time
from presence_protocol.messages import (
    Activity,
    AnyClientMessage,
    AnyServerMessage,
    Bye,
    Diff,
    Error,
    Hello,
    Limits,
    Ok,
    Ping,
    Pong,
    Query,
    SetStatus,
    Snapshot,
    Statuses,
    Unwatch,
    Watch,
    Welcome,
)
from presence_protocol.user_ids import NUMBER, IdKind, UserId
from presence_protocol.variants import Variants

WAIT_MS: Final = 25_000
"""How long a poll may wait: less than the 30 to 60 s after which proxies commonly cut."""

CALL_TIMEOUT: Final = 10.0
"""Seconds that an answer may take beyond what the poll itself waits."""

POLL_GAP: Final = 0.25
"""Seconds from one poll's beginning to the next: a busy list is conflated instead of polled in a frenzy."""

DEFAULT_INTERVAL: Final = 30.0
"""Seconds between heartbeats until the server has said."""

LEAST_INTERVAL: Final = 0.1
"""Seconds between heartbeats at least, whatever the server says."""

OBSERVER: Final = "an observer has no user and no device"


RestAction = Call | Cancel | AnyServerMessage | End


class RestLink:
    """One connection. `End` is its last action. `ids`: the kind of user ids that the server speaks."""

    def __init__(self, ids: IdKind = NUMBER) -> None:
        self._ids = ids
        self._changes_type: type[PolledChanges] = Variants(ids, PLATFORMS).of(PolledChanges)
        self._actions: list[RestAction] = []
        self._calls: dict[int, tuple[str, Any]] = {}  # what for, and what goes with it
        self._last_number = 0
        self._hello: Hello | None = None
        self._epoch: int | None = None  # of the last answer
        self._idle: bool | None = None  # the levels that were said last
        self._busy: bool | None = None
        self._is_welcomed = self._is_over = self._is_continued = False
        self._is_leaving = self._has_left = False
        self._user_ids: dict[UserId, None] = {}
        self._cursor: str | None = None
        self._unanswered: list[Watch] = []
        self._unwritten: list[SetStatus | Activity] = []
        self._written: SetStatus | Activity | None = None  # the one under way
        self._poll: int | None = None
        self._poll_at: float | None = None
        self._polled_at = float("-inf")
        self._interval = DEFAULT_INTERVAL
        self._beat_at: float | None = None

    def take(self) -> list[RestAction]:
        """What to request, and what was said; each is handed out once."""
        actions, self._actions = self._actions, []
        return actions

    def deadline(self) -> float | None:
        """When `tick` is due."""
        times = (self._beat_at, self._poll_at)
        return min((time for time in times if time is not None), default=None)

    def tick(self, now: float) -> None:
        """Time has passed. Harmless when nothing is due."""
        if self._beat_at is not None and self._beat_at <= now:
            self._beat(now, None)
        if self._poll_at is not None and self._poll_at <= now:
            self._begin_poll(now)

    def stop(self) -> None:
        """The connection is given up: no more requests, and no `/offline`."""
        self._is_over = True
        self._beat_at = self._poll_at = None
        for number in self._calls:
            self._actions.append(Cancel(number))
        self._calls = {}

    def send(self, message: AnyClientMessage, now: float) -> None:
        """A message of the client."""
        if self._is_over or self._is_leaving:
            return
        match message:
            case Hello():
                self._greet(message, now)
            case Watch():
                self._user_ids.update(dict.fromkeys(message.user_ids))
                self._unanswered.append(message)
                self._poll_anew(now)
            case Unwatch():
                for user_id in message.user_ids:
                    self._user_ids.pop(user_id, None)
                self._reply(Ok(id=message.id))
            case SetStatus() | Activity() if self._me().observer:
                self._refuse(message.id, 403, "forbidden", OBSERVER)
            case SetStatus() | Activity():
                self._unwritten.append(message)
                self._write(now)
            case Query():
                self._call("POST", "/changes", {"userIds": list(dict.fromkeys(message.user_ids))}, "query", message)
            case Ping():
                self._reply(Pong(id=message.id))
            case Bye():
                self._leave(now)

    def answered(self, number: int, answer: HttpAnswer, now: float) -> None:
        """What came of a request."""
        purpose, context = self._calls.pop(number, (None, None))
        if purpose is None:
            return
        if number == self._poll:
            self._poll = None
        self._epoch = answer.epoch
        if purpose == "bye":
            self._has_left = True
        elif answer.status == 200:
            try:
                self._succeeded(purpose, context, answer, now)
            except msgspec.ValidationError:
                self._end(end_of_strange(answer, self._ids))
        else:
            self._failed(purpose, context, answer, now)
        self._write(now)
        if self._has_left and not self._calls and not self._is_over:
            self._end(End(CloseCode.NORMAL, "bye"))

    def _write(self, now: float) -> None:
        """Say the next of what changes something. One at a time: two requests at once may arrive in either order."""
        if self._written is not None or not self._unwritten or self._is_over:
            return
        message = self._written = self._unwritten.pop(0)
        if isinstance(message, SetStatus):
            self._call("PATCH", self._status_path(), status_body(message), "status", message.id)
        else:
            self._beat(now, message)

    # -- hello -----------------------------------------------------------------------------------------------------

    def _greet(self, hello: Hello, now: float) -> None:
        self._hello = hello
        self._idle, self._busy = hello.idle, hello.busy
        self._user_ids = dict.fromkeys(hello.watch or ())
        self._cursor = hello.cursor
        if hello.observer:
            self._look_first(now)
        else:
            # A device that is there (in grace, or on an older link) goes on as it is.
            self._call("POST", "/heartbeat", self._device(hello.idle, hello.busy), "greet")

    def _go_online(self) -> None:
        body = self._device(self._idle, self._busy) | {"platform": self._me().platform}
        self._call("POST", "/online", body, "online")

    def _look_first(self, now: float) -> None:
        if self._user_ids:
            self._begin_poll(now)
        else:
            self._welcome(resumed=False)
            self._poll_at = now  # should there be watches already

    def _welcome(self, resumed: bool) -> None:
        self._is_welcomed = True
        interval = int(self._interval * 1000)
        most = Limits(interval, 10_000, limits.MAX_WATCHED, limits.MAX_MESSAGE, limits.MAX_BATCH)
        self._reply(
            Welcome(
                id=self._me().id,
                session_id="",
                server_time="" if self._epoch is None else format_time(self._epoch),
                continued=self._is_continued,
                resumed=resumed,
                self_=None,
                limits=most,
                user_ids=self._ids.name,
            )
        )

    # -- being there -----------------------------------------------------------------------------------------------

    def _beat(self, now: float, activity: Activity | None) -> None:
        idle, busy = (None, None) if activity is None else (activity.idle, activity.busy)
        self._idle = self._idle if idle is None else idle
        self._busy = self._busy if busy is None else busy
        self._beat_at = now + self._interval
        self._call("POST", "/heartbeat", self._device(idle, busy), "beat", activity)

    def _leave(self, now: float) -> None:
        """Go offline at once. What was asked, and said of the user, is still answered; no heartbeat may come after."""
        self._is_leaving = True
        owed = {number: call for number, call in self._calls.items() if call[0] in ("status", "query")}
        for message in [*self._unwritten, self._written]:
            if isinstance(message, Activity):
                self._reply(Ok(id=message.id))  # it ends with the device
        self._unwritten = [message for message in self._unwritten if isinstance(message, SetStatus)]
        for number in owed:
            del self._calls[number]
        self.stop()
        self._is_over = False
        self._calls = owed
        self._write(now)
        if not self._me().observer:
            self._call("POST", "/offline", self._device(None), "bye")
        elif owed:
            self._has_left = True
        else:
            self._end(End(CloseCode.NORMAL, "bye"))

    # -- watching --------------------------------------------------------------------------------------------------

    def _poll_anew(self, now: float) -> None:
        """There is more to ask for than the poll under way knows. One turn later, so that watches in a row are one."""
        if not self._is_welcomed:
            return
        if self._poll is not None:
            self._actions.append(Cancel(self._poll))
            _, watches = self._calls.pop(self._poll)
            self._unanswered = watches + self._unanswered
            self._poll = None
        self._poll_at = now

    def _begin_poll(self, now: float) -> None:
        self._poll_at = None
        if self._poll is not None or not self._user_ids:
            return
        may_wait = self._is_welcomed and not self._unanswered
        body: dict[str, Any] = {"userIds": list(self._user_ids), "waitMs": WAIT_MS if may_wait else 0}
        if self._cursor is not None and not (self._is_welcomed and self._unanswered):
            body["cursor"] = self._cursor
        self._polled_at = now
        watches: list[Watch] = []
        if self._is_welcomed:  # else it answers hello, and nothing else
            watches, self._unanswered = self._unanswered, []
        self._poll = self._call("POST", "/changes", body, "poll", watches, WAIT_MS / 1000 if may_wait else 0.0)

    def _polled(self, changes: PolledChanges, watches: list[Watch], now: float) -> None:
        self._cursor = changes.cursor
        if not self._is_welcomed:
            self._welcome(changes.resumed)
            self._reply(Snapshot(statuses=changes.changes, cursor=changes.cursor))
        elif changes.resumed:
            self._reply(Diff(changes=changes.changes, cursor=changes.cursor))
        else:
            rest = {entry.user_id: entry for entry in changes.changes}
            for watch in watches:
                entries = [rest[user_id] for user_id in watch.user_ids if user_id in rest]
                self._reply(Snapshot(id=watch.id, statuses=entries))
            asked = {user_id for watch in watches for user_id in watch.user_ids}
            others = [entry for user_id, entry in rest.items() if user_id not in asked]
            self._reply(Snapshot(statuses=others, cursor=changes.cursor))
        self._poll_at = max(now, self._polled_at + POLL_GAP)
        if self._unanswered:
            self._poll_at = now

    # -- answers ---------------------------------------------------------------------------------------------------

    def _succeeded(self, purpose: str, context: Any, answer: HttpAnswer, now: float) -> None:
        match purpose:
            case "greet" | "beat" | "greet again":
                interval = msgspec.convert(answer.data, dict[str, Any]).get("nextHeartbeatInterval")
                if isinstance(interval, int) and interval > 0:
                    self._interval = max(interval / 1000, LEAST_INTERVAL)
                self._beat_at = now + self._interval
                if purpose == "greet":
                    self._is_continued = context != "came online"
                    self._look_first(now)
                elif context is not None and context.id is not None:
                    self._reply(Ok(id=context.id))
            case "first status":
                self._go_online()
            case "online" if other_ids(answer.data, self._ids):
                self._end(end_of_strange(answer, self._ids))
            case "online" if self._is_welcomed:
                # The request has said the level. If even this heartbeat finds no device, the connection has ended: to
                # go on would be a loop without a pause.
                self._beat_at = now + self._interval
                self._call("POST", "/heartbeat", self._device(self._idle, self._busy), "greet again", context)
            case "online":
                # Only a heartbeat's answer tells the interval.
                self._call("POST", "/heartbeat", self._device(None), "greet", "came online")
            case "status":
                self._reply(Ok(id=context))
            case "query":
                found = {entry.user_id: entry for entry in msgspec.convert(answer.data, self._changes_type).changes}
                statuses = [found[user_id] for user_id in context.user_ids if user_id in found]
                self._reply(Statuses(id=context.id, statuses=statuses))
            case "poll":
                self._polled(msgspec.convert(answer.data, self._changes_type), context, now)

    def _failed(self, purpose: str, context: Any, answer: HttpAnswer, now: float) -> None:
        error = error_of(answer)
        if error in ENDINGS and (purpose != "greet" or self._me().returning):
            details = details_of(answer)
            self._end(End(ENDINGS[error], details[0].reason if details else answer.reason))
        elif purpose == "greet" and error in GONE and context is None:  # whoever connects anew may take over again
            if self._me().status is not None:  # before `/online`, lest somebody invisible flashes up
                self._call("PATCH", self._status_path(), {"status": self._me().status}, "first status")
            else:
                self._go_online()
        elif purpose == "beat" and error == "device_not_online":
            body = self._device(self._idle, self._busy) | {"platform": self._me().platform}
            self._call("POST", "/online", body, "online", context)
        elif purpose in ("status", "query") and answer.status:
            self._refuse(context.id if purpose == "query" else context, answer.status, error, answer.reason, answer)
        elif purpose == "poll" and answer.status == 400 and context:
            for watch in context:
                self._refuse(watch.id, 400, error, answer.reason, answer)
                for user_id in watch.user_ids:
                    self._user_ids.pop(user_id, None)
            self._poll_at = now
        else:
            self._end(end_of(answer))

    def _refuse(self, id: int | None, code: int, error: str, message: str, answer: HttpAnswer | None = None) -> None:
        details = [] if answer is None else details_of(answer)
        self._reply(Error(id=id, code=code, error=error, message=message, details=details or None))

    # -- parts -----------------------------------------------------------------------------------------------------

    def _call(
        self, method: str, path: str, body: dict[str, Any] | None, purpose: str, context: Any = None, wait: float = 0.0
    ) -> int:
        self._last_number += 1
        self._calls[self._last_number] = (purpose, context)
        self._actions.append(Call(self._last_number, method, path, body, wait + CALL_TIMEOUT))
        return self._last_number

    def _reply(self, message: AnyServerMessage) -> None:
        if self._written is not None and message.id == self._written.id:
            self._written = None
        if not isinstance(message, Ok) or message.id is not None:
            self._actions.append(message)

    def _end(self, end: End) -> None:
        self.stop()
        self._actions.append(end)

    def _me(self) -> Hello:
        assert self._hello is not None, "nothing may be said before hello"
        return self._hello

    def _device(self, idle: bool | None, busy: bool | None = None) -> dict[str, Any]:
        body: dict[str, Any] = {"userId": self._me().user_id, "deviceId": self._me().device_id}
        levels = {"idle": idle, "busy": busy}
        return body | {name: level for name, level in levels.items() if level is not None}

    def _status_path(self) -> str:
        return f"/status/{quote(str(self._me().user_id), safe='')}"
