"""Who is there, as others see it: how many, on which platforms, and page after page.

A user is there while their public status is another than OFFLINE. Whoever is invisible is not: nothing here tells them
from those who are away, but `people.People.figures`, for those who may know.

**Pages.** Who is there lies in buckets, by a hash of the key, and has a place within its bucket, by the key. Nobody
moves while they are there, so a walk from the first place to the last meets everybody who is there throughout, once,
whatever happens meanwhile. Rejected: numbers given in the order of coming (a slot of a record more, 40 bytes for each
of a million users); the order of the table's dicts (to find a place in one takes a pass over it).

A join or a leave costs 0.7 to 1 us with ten thousand users there and 1 to 3.5 with a million, some 50 bytes for each of
them, and no other change costs anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

from presence_server.domain.model import OFFLINE, PublicState, Status, UserKey, UserRecord
from presence_server.domain.platforms import AnyPlatform

BUCKETS: Final = 1 << 14
"""60 users in each where a million are there, and 0.3 ms to pass over all of them where nobody is."""

LOOKED_AT: Final = 2_000
"""Users whom one page looks at, however few of them are wanted: a millisecond."""

_OFFLINE: Final = Status.OFFLINE


def _key_of(record: UserRecord) -> Any:
    """Keys of one table are of one kind, and have an order."""
    return record.user_id


class Place(NamedTuple):
    """Where a page begins: after the user with that key; None: at the first of the bucket."""

    bucket: int = 0
    after: UserKey | None = None


FIRST: Final = Place()


class Page(NamedTuple):
    """`next` None: that was the last one."""

    users: list[UserRecord]
    next: Place | None


def bucket_of(key: UserKey) -> int:
    """A tuple's hash mixes all bits of a key, of which clients choose the lowest."""
    return hash((key,)) % BUCKETS


class Attendance:
    def __init__(self) -> None:
        self.there = 0
        """Users who are there."""
        self.with_devices = 0
        """Of those, the ones with a device: a claim may stand alone."""
        self.joined = 0
        """How often a user came to be there, since the start."""
        self.left = 0
        self._by_platform: defaultdict[int, int] = defaultdict(int)
        self._buckets: list[dict[UserKey, UserRecord] | None] = [None] * BUCKETS

    def changed(self, record: UserRecord, before: PublicState, after: PublicState) -> None:
        """The public state of the user was `before`, and is `after` from now on."""
        if before.platforms is not after.platforms:  # sets of platforms are shared
            by_platform = self._by_platform
            for platform in before.platforms:
                by_platform[platform.bit] -= 1
            for platform in after.platforms:
                by_platform[platform.bit] += 1
            self.with_devices += bool(after.platforms) - bool(before.platforms)
        if before.status is _OFFLINE:
            if after.status is not _OFFLINE:
                self.joined += 1
                self._enter(record)
        elif after.status is _OFFLINE:
            self.left += 1
            self._leave(record)

    def restore(self, record: UserRecord) -> None:
        """The user is there as they were before the server started: nobody has joined."""
        self.changed(record, OFFLINE, record.public)
        self.joined -= record.public.status is not _OFFLINE

    def on(self, platform: AnyPlatform) -> int:
        """How many users are there on that platform."""
        return self._by_platform[platform.bit]

    def page(self, place: Place, most: int, status: Status | None = None, platform: AnyPlatform | None = None) -> Page:
        """At most so many of those who are there from `place` on, with that status and on that platform if it says so.

        It may hold fewer, also none, where many have to be looked at: the walk is over when there is no next place.
        """
        found: list[UserRecord] = []
        left = LOOKED_AT
        for bucket, held in self._held(place.bucket):
            begins = place.after if bucket == place.bucket else None
            for record in sorted(held.values(), key=_key_of):
                key = _key_of(record)
                if begins is not None and key <= begins:
                    continue
                left -= 1
                public = record.public
                if (status is None or public.status is status) and (platform is None or platform in public.platforms):
                    found.append(record)
                if left == 0 or len(found) == most:
                    at = Place(bucket, key)
                    return Page(found, at if self._is_more(at) else None)
        return Page(found, None)

    def _held(self, first: int) -> Iterator[tuple[int, dict[UserKey, UserRecord]]]:
        """The buckets with somebody in them, from one on."""
        for bucket, held in enumerate(islice(self._buckets, first, None), first):
            if held:
                yield bucket, held

    def _is_more(self, place: Place) -> bool:
        """Whether anybody comes after that place."""
        for bucket, held in self._held(place.bucket):
            if bucket > place.bucket or max(map(_key_of, held.values())) > place.after:
                return True
        return False

    def _enter(self, record: UserRecord) -> None:
        self.there += 1
        key = record.user_id
        bucket = hash((key,)) % BUCKETS
        held = self._buckets[bucket]
        if held is None:
            self._buckets[bucket] = {key: record}
        else:
            held[key] = record

    def _leave(self, record: UserRecord) -> None:
        self.there -= 1
        bucket = hash((record.user_id,)) % BUCKETS
        held = self._buckets[bucket]
        assert held is not None, f"{record} was not there"
        del held[record.user_id]
        if not held:  # a dict keeps the room that it once needed
            self._buckets[bucket] = None
