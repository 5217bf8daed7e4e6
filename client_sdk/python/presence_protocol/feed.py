"""The feed's entries, as they are told to back ends: over REST, as server-sent events, by webhook and on WebSocket."""

from __future__ import annotations

from msgspec import Struct

from presence_protocol.user_ids import UserId


class FeedDevice(Struct, rename="camel", frozen=True, gc=False):
    """The device that caused a change."""

    device_id: str
    platform: str


class FeedEntry(Struct, rename="camel", frozen=True, omit_defaults=True, gc=False):
    """What a user is at one version, and why.

    `at` is when that began, in milliseconds since 1970; of one user it never moves back. `cause` is one of
    `presence_server.domain.causes`; take one that you do not know for any other. `device` is the device that caused it,
    where one did and the server still knows it. `invisible`: to everybody but who is told this they are OFFLINE.
    """

    user_id: UserId
    status: str
    platforms: list[str]
    version: int
    cause: str
    at: int
    status_text: str | None = None
    status_emoji: str | None = None
    device: FeedDevice | None = None
    invisible: bool = False


class FeedDiff(Struct, rename="camel", frozen=True, omit_defaults=True, tag_field="type", tag="diff"):
    """What a connection that follows the feed is told. `resumed` False: what the client holds is void.

    `gap`: something was not told, since it is not known any more. `more`: there is more now.
    """

    changes: list[FeedEntry]
    cursor: str
    resumed: bool = True
    gap: bool = False
    more: bool = False
