"""Who is whose contact, and who has blocked whom, as the back end says.

A user's contacts may see that user, and if their list says `mutual` the user may see them. Whom a user has blocked may
not see that user, whatever any list says; the user goes on seeing them as before.

Owners are kept by their keys, members as ids (see `lists`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from presence_protocol.user_ids import UserId
from presence_server.application.keys import UserKeys
from presence_server.application.lists import NONE, Members, Steps, cut, finish, holds, in_order, stages, without
from presence_server.domain.model import UserKey

MAX_LIST: Final = 10_000
"""Ids in one user's contacts, and as many in the blocks."""


class Contacts(NamedTuple):
    """One user's lists, as ids in ascending order."""

    one_way: Members = NONE
    mutual: Members = NONE

    def __len__(self) -> int:
        return len(self.one_way) + len(self.mutual)


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
        self.on_change: Callable[[UserKey], None] = _nobody
        """Told whose lists are others now."""

    # -- questions -------------------------------------------------------------------------------------------------

    def is_blocked(self, viewer: UserKey, key: UserKey) -> bool:
        """Whether the user has blocked `viewer`."""
        return holds(self._blocks.get(key, NONE), self._keys.user_id(viewer))

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
        return self._blocks.get(key, NONE)

    # -- lists as they would be ------------------------------------------------------------------------------------

    def contacts_of(self, user_ids: Sequence[UserId], mutual: bool) -> Steps[Contacts]:
        """Lists of these and no others."""
        members = yield from in_order(user_ids)
        return Contacts(mutual=members) if mutual else Contacts(one_way=members)

    def contacts_with(
        self, key: UserKey, add: Sequence[UserId], remove: Sequence[UserId], mutual: bool
    ) -> Steps[Contacts]:
        """The user's lists with changes. Whoever is to be added and removed is not there."""
        added, removed = (yield from in_order(add)), (yield from in_order(remove))
        one_way, both = self.contacts(key)
        one_way, both = (yield from without(one_way, added)), (yield from without(both, added))
        if mutual:
            both = yield from in_order([*both, *added])
        else:
            one_way = yield from in_order([*one_way, *added])
        return Contacts((yield from without(one_way, removed)), (yield from without(both, removed)))

    def blocks_with(self, key: UserKey, add: Sequence[UserId], remove: Sequence[UserId]) -> Steps[Members]:
        all_of_them = yield from in_order([*self.blocks(key), *add])
        removed = yield from in_order(remove)
        return (yield from without(all_of_them, removed))

    # -- changes ---------------------------------------------------------------------------------------------------

    def replace_in_steps(self, key: UserKey, after: Contacts) -> Iterator[list[Pair]]:
        """These and no others are the user's contacts, once the last step was made.

        In between they are, up to some id. So what is told of a pair always follows from the lists as they are.
        """
        for (one_way, mutual), matter in stages(self.contacts(key), after):
            if one_way or mutual:
                self._contacts[key] = Contacts(one_way, mutual)
            else:
                self._contacts.pop(key, None)
            self.on_change(key)
            keys = self._keys.keys(matter)
            yield [(other, key) for other in keys] + [(key, other) for other in keys]

    def block_in_steps(self, key: UserKey, after: Members) -> Iterator[list[Pair]]:
        """These and no others has the user blocked, once the last step was made."""
        for (blocked,), matter in stages((self.blocks(key),), (after,)):
            if blocked:
                self._blocks[key] = blocked
            else:
                self._blocks.pop(key, None)
            self.on_change(key)
            yield [(other, key) for other in self._keys.keys(matter)]

    def erase_in_steps(self, key: UserKey) -> Iterator[list[Pair]]:
        """The user's own lists go. Of others' lists the user is taken out by `forget_in`."""
        yield from self.block_in_steps(key, NONE)
        yield from self.replace_in_steps(key, Contacts())

    def set_contacts(self, key: UserKey, user_ids: Iterable[UserId], mutual: bool) -> list[Pair]:
        """As `replace_in_steps`, in one."""
        wanted = finish(self.contacts_of(list(user_ids), mutual))
        return [pair for pairs in self.replace_in_steps(key, wanted) for pair in pairs]

    def set_blocks(self, key: UserKey, user_ids: Iterable[UserId]) -> list[Pair]:
        """As `block_in_steps`, in one."""
        wanted = finish(in_order(list(user_ids)))
        return [pair for pairs in self.block_in_steps(key, wanted) for pair in pairs]

    def owners(self) -> list[UserKey]:
        """Everybody who has a list, as keys."""
        return list(dict.fromkeys((*self._contacts, *self._blocks)))

    def forget_in(self, owner: UserKey, key: UserKey) -> list[Pair]:
        """Take the user out of another one's lists."""
        who = self._keys.user_id(key)
        pairs: list[Pair] = []
        one_way, mutual = self.contacts(owner)
        if holds(one_way, who) or holds(mutual, who):
            left = Contacts(*(cut(each, who) if holds(each, who) else each for each in (one_way, mutual)))
            if len(left):
                self._contacts[owner] = left
            else:
                del self._contacts[owner]
            pairs += ((key, owner), (owner, key))
        if holds(self.blocks(owner), who):
            self._blocks[owner] = cut(self.blocks(owner), who)
            if not self._blocks[owner]:
                del self._blocks[owner]
            pairs.append((key, owner))
        if pairs:
            self.on_change(owner)
        return pairs

    def restore(self, key: UserKey, contacts: Contacts, blocks: Members) -> None:
        """The user's lists as they were before a restart."""
        if len(contacts):
            self._contacts[key] = contacts
        if blocks:
            self._blocks[key] = blocks

    def __len__(self) -> int:
        """How many users have a list."""
        return len(self.owners())


def _nobody(_key: UserKey) -> None:
    """Nobody keeps them beside this."""
