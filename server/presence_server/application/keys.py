"""User ids as the server's tables know them: numbers are multiplied by one that is drawn at the start.

Strings need none of this, see `StringKeys`. All that follows is about numbers.

Clients choose user ids, and Python's hash of an integer is that integer. Whoever knows how a dict probes can choose
ids of which each collides with all before it: 38,000 of them, one message, stopped a server for seconds. So no table
of the server holds an id as a client wrote it. It is multiplied once where it enters, and divided once where it leaves.
What is in between (transitions, records, edges, changes, deadlines) knows keys only, and does not know that they are.

The multiplier is odd, of 30 bits, and secret. A product is its own hash, or that modulo 2^61 - 1, so which ids collide
cannot be known without the multiplier, and every bit of a product takes part: a dict's perturbation uses all of the
hash. Ids that are made as alike as can be (multiples of a power of two) cost up to twice what random ones do. Nothing
that clients see tells of the multiplier: no order, value, digest or cursor is made from the order of keys in a set.

Measured on CPython 3.11, in ns an id, in and out again, and what is held of a million users beside ids as they are:

| | in | out | MB | |
|---|---|---|---|---|
| an odd multiplier of 30 bits | 11-18 | 17 | 0; 16 where ids are greater than 2^30 | built |
| one of 61 bits, and so a product modulo 2^61 - 1 | 19-33 | 50 | 16 | memory |
| a product modulo a prime of 60 bits | 60-83 | as in | 0 | a batch of 100 costs a sixth more |
| an odd multiplier of 60 bits and an xor-shift | 75-85 | as in | 0 | the same |
| bytes, which Python hashes with SipHash | 10-30 | 50 | 16 | each look-up another 15, no salt of ours |
| an added or xored salt | 15 | 15 | 0 | ids that collide still do |
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from random import Random
from typing import Final

from presence_protocol.user_ids import INT64, NUMBER, STRING, IdKind, Snowflake, UserId
from presence_server.domain.lenses import KEY_BITS, key_of
from presence_server.domain.model import UserKey

_BITS = 30
"""So many bits that an id of up to 30 takes no more memory as a key, and that one digit of Python's holds it."""

_CHUNK = 128
"""Ids as they were written that are made distinct at once: so few that their collisions do not matter."""

MOST_ENTRIES: Final = 131_072
"""Entries of a list that is longer than its limit, the same id over and over: 3 ms to look at."""

MOST_REPEATS: Final = 20_000
"""Of those, how many may be no repeat of what stands near them, or four times the limit: 0.1 us each."""


class UserKeys:
    """Ids to keys and back. Without a multiplier, ids are their own keys: for tests that look into the tables."""

    __slots__ = ("_multiplier",)

    def __init__(self, multiplier: int = 1) -> None:
        self._multiplier = multiplier

    @classmethod
    def drawn(cls, random: Random) -> UserKeys:
        return cls(random.randrange(1 << _BITS - 1, 1 << _BITS) | 1)

    @property
    def multiplier(self) -> int:
        return self._multiplier

    def key(self, user_id: UserId) -> UserKey:
        """The key of one id; of 0, which stands for no user, 0."""
        return user_id * self._multiplier

    def keys(self, user_ids: Iterable[UserId]) -> list[UserKey]:
        """The key of each, in their order and with their repeats."""
        multiplier = self._multiplier
        return [user_id * multiplier for user_id in user_ids]

    def distinct(self, user_ids: Sequence[UserId], most: int) -> list[UserKey] | None:
        """The key of each id, once, in their order; None if there are more than `most`.

        However long the list is, no more than that many are remembered; and one that is all repeats is not looked at
        for longer than others may wait: it counts as too long.
        """
        if len(user_ids) <= most:
            return list(dict.fromkeys(self.keys(user_ids)))
        left = max(MOST_REPEATS, 4 * most)
        if len(user_ids) > max(MOST_ENTRIES, left):
            return None
        found: dict[UserKey, None] = {}
        given = iter(user_ids)
        while chunk := dict.fromkeys(islice(given, _CHUNK)):
            found.update(dict.fromkeys(self.keys(chunk)))
            left -= len(chunk)
            if len(found) > most or left < 0:
                return None
        return list(found)

    def user_id(self, key: UserKey) -> UserId:
        """The id of a key, or of any topic of it (see `domain.lenses`)."""
        return (key if key <= KEY_BITS else key & KEY_BITS) // self._multiplier  # type: ignore[operator]


class SnowflakeKeys(UserKeys):
    """Keys of ids that JSON tells as strings."""

    __slots__ = ()

    def user_id(self, key: UserKey) -> UserId:
        return Snowflake((key & KEY_BITS) // self._multiplier)  # type: ignore[operator]


class StringKeys(UserKeys):
    """Strings are their own keys: Python salts their hashes (SipHash), so nobody can choose some that collide."""

    __slots__ = ()

    def key(self, user_id: UserId) -> UserKey:
        return user_id

    def keys(self, user_ids: Iterable[UserId]) -> list[UserKey]:
        return list(user_ids)

    def user_id(self, key: UserKey) -> UserId:
        return key_of(key)


_CLASSES: Final = {NUMBER: UserKeys, INT64: SnowflakeKeys, STRING: StringKeys}


def keys_drawn(kind: IdKind, random: Random) -> UserKeys:
    """The keys of one server, whose ids are of `kind`."""
    return _CLASSES[kind].drawn(random)


def keys_again(kind: IdKind, multiplier: int) -> UserKeys:
    """The keys that a server had before, whose ids are of `kind`."""
    return _CLASSES[kind](multiplier)


PLAIN = UserKeys()
"""Ids are their own keys."""
