"""Webhooks of the presence service, verified, as typed events: for the back end that receives them.

    receiver = WebhookReceiver("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    event = receiver.verify(await request.body(), request.headers)  # raises WebhookRefused: answer 400
    if isinstance(event, PresenceChanges):
        for entry in presences.take(event.changes, gap=event.gap):
            ...

Needs the extra: `pip install presence-client[webhooks]`. Signatures are those of Standard Webhooks
(https://www.standardwebhooks.com), and its library checks them: HMAC-SHA256 over `webhook-id`, `webhook-timestamp` and
the body as it came, byte by byte. So pass the body as bytes, never what a framework made of it. A time that is more
than five minutes away from this machine's is refused, so that what somebody has recorded is of no use later.

Answer 2xx when an event is stored, and any other status if it is to come again. The same event may come twice, under
the same `id`; a user's `version` tells which of two entries is the later one. See docs/back-ends.md.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any, Final

import msgspec

from presence_client.errors import PresenceError
from presence_protocol.feed import FeedDevice, FeedEntry
from presence_protocol.fields import parse_time
from presence_protocol.user_ids import IdKindName, kind_of

if TYPE_CHECKING:
    from standardwebhooks.webhooks import Webhook

CHANGES: Final = "presence.changes"
"""The type of an event that tells of changes."""


class WebhookRefused(PresenceError):
    """What came is not to be believed, or is no event: answer 400. `reason` says why, and shows no secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"webhook refused: {self.reason}"


class PresenceChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What changed, each user's last state. `id`: the same when the same event comes again.

    `gap`: what was held is void; everybody who is present follows, in this event and the next ones. `cursor`: where
    this event ends, for `PresenceApi.feed` and `presence-server webhooks replay`.
    """

    id: str
    timestamp: datetime
    changes: list[FeedEntry]
    cursor: str
    gap: bool


class UnknownEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a type that this version does not know: answer 2xx, and let it pass."""

    id: str
    type: str
    timestamp: datetime
    data: Any


Event = PresenceChanges | UnknownEvent


class _Data(msgspec.Struct):
    changes: list[FeedEntry]
    cursor: str
    gap: bool = False


class _Envelope(msgspec.Struct):
    type: str
    timestamp: str
    data: Any


_decode = msgspec.json.Decoder(_Envelope).decode


class WebhookReceiver:
    """Verifies what comes to one URL. Keep one for the life of the process."""

    def __init__(self, *secrets: str, user_ids: IdKindName = "number") -> None:
        """`secrets`: one, or several while one is replaced by another; each `whsec_` and base64, as the server's file
        has it. `user_ids`: the kind of user ids that the server speaks.

        Raises:
            ValueError: there is no secret, or one of them cannot be right. Its text shows no secret.
            ImportError: the extra `webhooks` is not installed.
        """
        if not secrets:
            raise ValueError("a secret is needed, such as whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        self._ids = kind_of(user_ids)
        self._signers = [_signer_of(secret, index) for index, secret in enumerate(secrets)]

    def verify(self, body: bytes | str, headers: Mapping[str, Any]) -> Event:
        """The event that a request holds. `body`: as it came. `headers`: in any case; only three of them are read.

        Raises:
            WebhookRefused: no signature of these secrets, a time too far away, or not an event.
            TypeError: `body` is what a framework has parsed already.
        """
        if not isinstance(body, bytes | str):
            raise TypeError(f"body must be the bytes of the request as they came, not {type(body).__name__}")
        given = {str(name).lower(): value for name, value in headers.items()}
        missing = [name for name in ("webhook-id", "webhook-timestamp", "webhook-signature") if not given.get(name)]
        if missing:
            raise WebhookRefused(f"{missing[0]} is missing")
        given = {name: str(given[name]) for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}
        self._check(body, given)
        return self._event(body, given["webhook-id"])

    def _check(self, body: bytes | str, headers: dict[str, str]) -> None:
        reason = "no signature is right"
        for signer in self._signers:
            try:
                signer.verify(body, headers)
            except (JSONDecodeError, RecursionError):
                return  # the signature was right: the library reads the body only then
            except Exception as failure:  # the library's own, and what it lets through of malformed headers
                reason = _WORDS.get(str(failure), reason)
            else:
                return
        raise WebhookRefused(reason)

    def _event(self, body: bytes | str, id: str) -> Event:
        try:
            envelope = _decode(body)
            seconds = parse_time(envelope.timestamp)
            if seconds is None:
                raise WebhookRefused("timestamp is not a time")
            at = datetime.fromtimestamp(seconds, UTC)
            if envelope.type != CHANGES:
                return UnknownEvent(id=id, type=envelope.type, timestamp=at, data=envelope.data)
            data = msgspec.convert(envelope.data, _Data)
            for entry in data.changes:
                msgspec.structs.force_setattr(entry, "user_id", self._ids.parse(entry.user_id))
        except (ValueError, RecursionError) as failure:
            raise WebhookRefused(f"the body is not an event: {failure}") from None
        return PresenceChanges(id=id, timestamp=at, changes=data.changes, cursor=data.cursor, gap=data.gap)


_WORDS: Final = {
    "Invalid Signature Headers": "webhook-timestamp is not a number of seconds",
    "Message timestamp too old": "webhook-timestamp is more than five minutes ago: is this machine's clock right?",
    "Message timestamp too new": "webhook-timestamp is more than five minutes ahead: is this machine's clock right?",
}
"""By what the library says."""


def _signer_of(secret: str, index: int) -> Webhook:
    try:
        from standardwebhooks.webhooks import Webhook
    except ImportError:
        raise ImportError("verified webhooks need an extra: pip install 'presence-client[webhooks]'") from None
    try:
        kind, _, text = secret.partition("_")
        key = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (AttributeError, ValueError):
        kind, key = "", b""
    if kind != "whsec" or not key:
        raise ValueError(f"secrets[{index}] must be whsec_ and base64")
    return Webhook(key)


__all__ = (
    "CHANGES",
    "Event",
    "FeedDevice",
    "FeedEntry",
    "PresenceChanges",
    "UnknownEvent",
    "WebhookReceiver",
    "WebhookRefused",
)
