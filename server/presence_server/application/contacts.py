"""Who is whose contact, and who has blocked whom, as the back end says.

A user's contacts may see that user, and if their list says `mutual` the user may see them. Whom a user has blocked may
not see that user, whatever any list says; the user goes on seeing them as before.

Members are kept as ids, in order; numbers in arrays: 8 bytes each, where a set takes 60. Clients choose ids, so
none is hashed here: owners are kept by their keys.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from presence_protocol.user_ids import UserId
from presence_server.application.keys import UserKeys
from presence_server.domain.model import UserKey

MAX_LIST: Final = 10_000
"""Ids in one user's contacts, and as many in the blocks."""

Members = Sequence[UserId]
"""Ids in ascending order, each once."""

_NONE: Final[Members] = ()


class Contacts(NamedTuple):
    """One user's lists, as ids in ascending order."""

    one_way: Members = _NONE
    mutual: Members = _NONE

    def __len__(self) -> int:
        return len(self.one_way) + len(self.mutual)


def holds(members: Members, user_id: UserId) -> bool:
    place = bisect_left(members, user_id)
    return place < len(members) and members[place] == user_id


def _sorted(user_ids: Iterable[UserId]) -> Members:
    found: list[UserId] = []
    for user_id in sorted(user_ids):
        if not found or found[-1] != user_id:  # no set: clients chose these
            found.append(user_id)
    return _packed(found)


def _packed(found: list[UserId]) -> Members:
    """Numbers take 8 bytes each."""
    numbers: list[Any] = found
    return array("q", numbers) if numbers and isinstance(numbers[0], int) else tuple(found)


def _without(members: Members, others: Members) -> Members:
    return _packed([user_id for user_id in members if not holds(others, user_id)])


def _differing(before: Members, after: Members) -> Iterator[UserId]:
    yield from _without(before, after)
    yield from _without(after, before)


Pair = tuple[UserKey, UserKey]
"""A viewer and a user, both as keys."""


class ContactBook:
    """Lists of contacts and of blocks. Owners are keys, members are ids.

    What changes a list returns the pairs of viewer and user for which it may matter.
    """

    def __init__(self, keys: UserKeys) -> None:
        self._keys = keys
        self._contacts: dict[UserKey, Contacts] = {}
        self._blocks: dict[UserKey, Members] = {}

    # -- questions -------------------------------------------------------------------------------------------------

    def is_blocked(self, viewer: UserKey, key: UserKey) -> bool:
        """Whether the user has blocked `viewer`."""
        return holds(self._blocks.get(key, _NONE), self._keys.user_id(viewer))

    def is_contact(self, viewer: UserKey, key: UserKey) -> bool:
        """Whether `viewer` is a contact of the user: by the user's list, or by a mutual one of their own."""
        who = self._keys.user_id(viewer)
        theirs = self._contacts.get(key)
        if theirs is not None and (holds(theirs.mutual, who) or holds(theirs.one_way, who)):
            return True
        own = self._contacts.get(viewer)
        return own is not None and holds(own.mutual, self._keys.user_id(key))

    def contacts(self, key: UserKey) -> Contacts:
        return self._contacts.get(key, Contacts())

    def blocks(self, key: UserKey) -> Members:
        return self._blocks.get(key, _NONE)

    # -- changes ---------------------------------------------------------------------------------------------------

    def set_contacts(self, key: UserKey, user_ids: Iterable[UserId], mutual: bool) -> list[Pair]:
        """These and no others are the user's contacts."""
        members = _sorted(user_ids)
        return self._put(key, Contacts(mutual=members) if mutual else Contacts(one_way=members))

    def with_changes(self, key: UserKey, add: Iterable[UserId], remove: Iterable[UserId], mutual: bool) -> Contacts:
        """The lists as they would be. Whoever is to be added and removed is not there."""
        added, removed = _sorted(add), _sorted(remove)
        one_way, both = self.contacts(key)
        one_way, both = _without(one_way, added), _without(both, added)
        if mutual:
            both = _sorted([*both, *added])
        else:
            one_way = _sorted([*one_way, *added])
        return Contacts(_without(one_way, removed), _without(both, removed))

    def replace(self, key: UserKey, contacts: Contacts) -> list[Pair]:
        return self._put(key, contacts)

    def _put(self, key: UserKey, after: Contacts) -> list[Pair]:
        before = self.contacts(key)
        if len(after):
            self._contacts[key] = after
        else:
            self._contacts.pop(key, None)
        matter = _sorted([*_differing(before.one_way, after.one_way), *_differing(before.mutual, after.mutual)])
        keys = self._keys.keys(matter)
        return [(other, key) for other in keys] + [(key, other) for other in keys]

    def set_blocks(self, key: UserKey, user_ids: Iterable[UserId]) -> list[Pair]:
        """These and no others has the user blocked."""
        before, after = self.blocks(key), _sorted(user_ids)
        if after:
            self._blocks[key] = after
        else:
            self._blocks.pop(key, None)
        return [(other, key) for other in self._keys.keys(_differing(before, after))]

    def blocks_with_changes(self, key: UserKey, add: Iterable[UserId], remove: Iterable[UserId]) -> Members:
        return _without(_sorted([*self.blocks(key), *add]), _sorted(remove))

    def erase(self, key: UserKey) -> list[Pair]:
        """The user's own lists go. Of others' lists the user is taken out by `forget_in`."""
        return self.set_blocks(key, ()) + self._put(key, Contacts())

    def owners(self) -> list[UserKey]:
        """Everybody who has a list, as keys."""
        return list(dict.fromkeys((*self._contacts, *self._blocks)))

    def forget_in(self, owner: UserKey, key: UserKey) -> list[Pair]:
        """Take the user out of another one's lists."""
        who = _packed([self._keys.user_id(key)])
        pairs: list[Pair] = []
        contacts = self.contacts(owner)
        if holds(contacts.one_way, who[0]) or holds(contacts.mutual, who[0]):
            pairs += self._put(owner, Contacts(_without(contacts.one_way, who), _without(contacts.mutual, who)))
        if holds(self.blocks(owner), who[0]):
            pairs += self.set_blocks(owner, _without(self.blocks(owner), who))
        return pairs

    def __len__(self) -> int:
        """How many users have a list."""
        return len(self.owners())
