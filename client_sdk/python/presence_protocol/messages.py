"""The typed messages of both directions.

Attributes are snake_case here and camelCase on the wire. A field that is absent is left out, not sent as null;
the two exceptions are `lastActiveTime` (null: never known) and `self` in `welcome` (null: an observer).

The constraints stand in the types, so that one decode both parses and validates; `FIELDS` holds the same rules in
words, for the answer to a message that failed.
"""

from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from presence_protocol import fields, limits
from presence_protocol.feed import FeedDevice
from presence_protocol.fields import Field, Rule
from presence_protocol.user_ids import NUMBER, IdKindName

if TYPE_CHECKING:
    from presence_protocol.user_ids import UserId as UserId

    ToldUserId = UserId
    PlatformName = str
else:
    # A decoder of these classes takes numbers; `variants` makes the same classes for ids of other kinds.
    UserId = NUMBER.wire
    ToldUserId = Annotated[int, Meta(title="userId")]
    PlatformName = Literal["WEB", "IOS", "ANDROID", "PC"]

MessageId = Annotated[int, Meta(ge=-limits.MAX_USER_ID, le=limits.MAX_USER_ID)]
IdleFor = Annotated[int, Meta(ge=0, le=limits.MAX_IDLE_FOR)]
StatusName = Literal["ONLINE", "AWAY", "BUSY", "OFFLINE"]


def require(reason: str | None) -> None:
    """Raise ValueError when a field's rule gave a reason; msgspec turns it into its ValidationError."""
    if reason is not None:
        raise ValueError(reason)


class ClientMessage(
    Struct, rename="camel", tag_field="type", forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """What a client sends. With `id` it gets exactly one reply that carries the same `id`.

    Unknown fields are ignored; they are forbidden to the decoder only so that a message which has some is read
    by the thorough second pass, where its unknown values, too, must be plain JSON data.
    """

    id: MessageId | None = None


class Hello(ClientMessage, tag="hello"):
    """The first message: who is here. An observer only watches, and names neither user nor device."""

    user_id: UserId | None = None
    device_id: str | None = None
    platform: PlatformName | None = None
    observer: bool | None = None
    token: str | None = None
    idle: bool | None = None
    idle_for_ms: IdleFor | None = None
    busy: bool | None = None
    status: StatusName | None = None
    watch: list[UserId] | None = None
    cursor: str | None = None
    client: str | None = None
    """What SDK it is, and of which version: `presence-js/1.0.0`."""
    returning: bool | None = None
    """Nobody has signed in: the client has come back by itself."""
    feed: bool | None = None
    """True: a back end that follows everybody (see `presence_protocol.feed`)."""
    transitions: Literal["all", "last"] | None = None

    def __post_init__(self) -> None:
        if self.client is not None:
            require(fields.client(self.client))
        if self.observer:
            if self.user_id is not None or self.device_id is not None:
                raise ValueError("an observer has no user and no device")
            if self.feed and self.watch:
                raise ValueError(FEED_WATCHES)
        elif self.feed:
            raise ValueError(FEED_OBSERVES)
        elif self.user_id is None or self.device_id is None or self.platform is None:
            raise ValueError("userId, deviceId and platform are required")
        else:
            require(fields.device_id(self.device_id))


FEED_WATCHES: Final = "who follows the feed watches nobody"
FEED_OBSERVES: Final = "the feed is for observers"


class Watch(ClientMessage, tag="watch"):
    """Add users to the watched ones; answered by a full snapshot of these ids."""

    user_ids: list[UserId]


class Unwatch(ClientMessage, tag="unwatch"):
    user_ids: list[UserId]


class SetStatus(ClientMessage, tag="status"):
    """What a person says of themselves: a status and when it ends, a text, an emoji, and when those end.

    A field that is left out (UNSET) leaves that as it is, null clears it; at least one must be there.
    """

    status: StatusName | UnsetType | None = UNSET
    until: str | UnsetType | None = UNSET
    status_text: str | UnsetType | None = UNSET
    status_emoji: str | UnsetType | None = UNSET
    text_until: str | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        check_said(self)


def check_said(said: Any) -> None:
    """Hold what a person says of themselves to its rules. Raises ValueError with the reason."""
    status, until, text, emoji, text_until = (
        said.status,
        said.until,
        said.status_text,
        said.status_emoji,
        said.text_until,
    )
    if until is not UNSET and until is not None:
        require(fields.timestamp(until))
    if text is not UNSET and text is not None:
        require(fields.status_text(text))
    if emoji is not UNSET and emoji is not None:
        require(fields.status_emoji(emoji))
    if text_until is not UNSET and text_until is not None:
        require(fields.timestamp(text_until))
    if status is UNSET and until is UNSET and text is UNSET and emoji is UNSET and text_until is UNSET:
        raise ValueError(NOTHING_SAID)


NOTHING_SAID = "needs at least one of status, until, statusText, statusEmoji, textUntil"


class Activity(ClientMessage, tag="activity"):
    """Whether the person at this device is idle, and for how long already, or busy. At least one of the two."""

    idle: bool | None = None
    idle_for_ms: IdleFor | None = None
    busy: bool | None = None

    def __post_init__(self) -> None:
        if self.idle is None and self.busy is None:
            raise ValueError("idle or busy is required")


class Query(ClientMessage, tag="query"):
    """Ask once, without watching."""

    user_ids: list[UserId]


class Auth(ClientMessage, tag="auth"):
    """A new token for the connection, before the old one ends."""

    token: str


class Ping(ClientMessage, tag="ping"):
    """For clients that cannot see WebSocket pings."""


class Bye(ClientMessage, tag="bye"):
    """The device's deliberate end."""


AnyClientMessage = Hello | Watch | Unwatch | SetStatus | Activity | Query | Auth | Ping | Bye


class StatusEntry(Struct, rename="camel", omit_defaults=True, gc=False):
    """The public state of one user at one version. Unknown users: OFFLINE, no platforms, null, version 0.

    Platforms are plain strings here: a client must bear one that a newer server has added. So is `last_seen`, which is
    told instead of `last_active_time` to who may see the status only: `today`, `this_week`, `this_month` or `earlier`.
    """

    user_id: ToldUserId
    status: StatusName
    platforms: list[str]
    last_active_time: str | None
    version: int
    status_text: str | None = None
    status_emoji: str | None = None
    idle_since: str | None = None
    platform_status: dict[str, str] | None = None
    """The status on each platform, where the server tells it (`--platform-status`)."""
    last_seen: str | None = None


class Override(Struct, rename="camel", omit_defaults=True):
    """The status that a user said themselves. `until`: UTC as in `2025-11-09T15:00:00Z`."""

    status: StatusName
    until: str | None = None


class Deciding(Struct, rename="camel", omit_defaults=True):
    """What decides what others see: `devices`, `self`, or another source of claims; and until when.

    The text is there where the text is what it decides.
    """

    source: str
    id: str | None = None
    until: str | None = None
    status_text: str | None = None
    status_emoji: str | None = None


class SelfDevice(Struct, rename="camel", omit_defaults=True):
    """One of a user's own devices. `online_time`: since when, UTC as in `2025-11-09T15:00:00Z`."""

    device_id: str
    platform: str
    online_time: str
    idle: bool
    busy: bool = False


class SelfView(Struct, rename="camel", omit_defaults=True):
    """A user's own truth. `status` is what others see, OFFLINE while invisible; `status_by` and `text_by` tell what
    decides. `override` and the text are the user's own word, whether or not it is what others see. `cause` is why it
    changed (see the feed), and `device` the one that caused it, if one did.
    """

    user_id: ToldUserId
    status: StatusName
    override: Override | None
    devices: list[SelfDevice]
    status_text: str | None = None
    status_emoji: str | None = None
    text_until: str | None = None
    status_by: Deciding | None = None
    text_by: Deciding | None = None
    cause: str | None = None
    device: FeedDevice | None = None


class Limits(Struct, rename="camel"):
    """What the server holds the client to. Times are milliseconds."""

    ping_interval: int
    pong_timeout: int
    max_watched: int
    max_message: int
    max_batch: int


class Detail(Struct):
    field: str
    reason: str


class ServerMessage(Struct, rename="camel", tag_field="type", omit_defaults=True, kw_only=True):
    """What the server sends. A reply carries the `id` of what it answers."""

    id: int | None = None


class Welcome(ServerMessage, tag="welcome"):
    session_id: str
    server_time: str
    continued: bool
    resumed: bool
    self_: SelfView | None = field(name="self")
    limits: Limits
    user_ids: IdKindName | None = None
    """The kind of user ids that the server speaks."""


_PARTS_OF_SELF = attrgetter(*SelfView.__struct_fields__)


class SelfChanged(ServerMessage, tag="self"):
    user_id: ToldUserId
    status: StatusName
    override: Override | None
    devices: list[SelfDevice]
    status_text: str | None = None
    status_emoji: str | None = None
    text_until: str | None = None
    status_by: Deciding | None = None
    text_by: Deciding | None = None
    cause: str | None = None
    device: FeedDevice | None = None

    @classmethod
    def of(cls, view: SelfView) -> "SelfChanged":
        return cls(*_PARTS_OF_SELF(view))

    @property
    def view(self) -> SelfView:
        return SelfView(*_PARTS_OF_SELF(self))


class Snapshot(ServerMessage, tag="snapshot"):
    """One part of a snapshot; the last part has no `more` and carries the cursor."""

    statuses: list[StatusEntry]
    more: bool = False
    cursor: str | None = None


class Diff(ServerMessage, tag="diff"):
    changes: list[StatusEntry]
    cursor: str


class Statuses(ServerMessage, tag="statuses"):
    """One part of the answer to a query; the last part has no `more`."""

    statuses: list[StatusEntry]
    more: bool = False


class Ok(ServerMessage, tag="ok"):
    pass


class Pong(ServerMessage, tag="pong"):
    pass


class Error(ServerMessage, tag="error"):
    """`code` as HTTP has it, `error` stable and English, `message` for people.

    `retry_after_ms`: in how many milliseconds it may be asked again; the close that follows says no other time.
    """

    code: int
    error: str
    message: str
    details: list[Detail] | None = None
    retry_after_ms: int | None = None


class Reconnect(ServerMessage, tag="reconnect"):
    """Connect anew after `after_ms` milliseconds: this server is about to end."""

    after_ms: int
    reason: str


class Expiring(ServerMessage, tag="expiring"):
    """The token ends in `in_ms` milliseconds, and the connection with it unless `auth` brings a new one."""

    in_ms: int


AnyServerMessage = Welcome | SelfChanged | Snapshot | Diff | Statuses | Ok | Pong | Error | Reconnect | Expiring


_ID = {"id": Field(fields.message_id)}

Fields = dict[str, tuple[type[Any], dict[str, Field]]]


def fields_by_type(user_id: Rule, platform: Rule) -> Fields:
    """By `type`: the message's class and the rule of each field, for the second pass over what failed to decode."""
    user_ids = {"userIds": Field(user_id, required=True, nullable=False, each=True)}
    return {
        "hello": (
            Hello,
            _ID
            | {
                "userId": Field(user_id, required=True, nullable=False),
                "deviceId": Field(fields.device_id, required=True, nullable=False),
                "platform": Field(platform, required=True, nullable=False),
                "observer": Field(fields.boolean),
                "token": Field(fields.text),
                "idle": Field(fields.boolean),
                "idleForMs": Field(fields.idle_for),
                "busy": Field(fields.boolean),
                "status": Field(fields.status),
                "watch": Field(user_id, each=True),
                "cursor": Field(fields.text),
                "client": Field(fields.client),
                "returning": Field(fields.boolean),
                "feed": Field(fields.boolean),
                "transitions": Field(fields.transitions),
            },
        ),
        "watch": (Watch, _ID | user_ids),
        "unwatch": (Unwatch, _ID | user_ids),
        "status": (
            SetStatus,
            _ID
            | {
                "status": Field(fields.status),
                "until": Field(fields.timestamp),
                "statusText": Field(fields.status_text),
                "statusEmoji": Field(fields.status_emoji),
                "textUntil": Field(fields.timestamp),
            },
        ),
        "activity": (
            Activity,
            _ID
            | {
                "idle": Field(fields.boolean),
                "idleForMs": Field(fields.idle_for),
                "busy": Field(fields.boolean),
            },
        ),
        "query": (Query, _ID | user_ids),
        "auth": (Auth, _ID | {"token": Field(fields.text, required=True, nullable=False)}),
        "ping": (Ping, _ID),
        "bye": (Bye, _ID),
    }


FIELDS: Fields = fields_by_type(fields.user_id, fields.platform)
"""Those of a server whose settings are the usual ones."""
