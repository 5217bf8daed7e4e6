"""What is kept beside users' records: each kind a section, with entries of a key and a value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from presence_protocol.user_ids import UserId
from presence_server.application.contacts import ContactBook, Contacts
from presence_server.application.keys import UserKeys
from presence_server.application.lists import packed
from presence_server.application.pacing import Pacing
from presence_server.application.policies import ByContacts
from presence_server.application.privacy import LastSeen, Privacy
from presence_server.application.sight import Sight
from presence_server.domain.causes import Cause
from presence_server.domain.farewells import Farewell, Farewells
from presence_server.domain.model import UserKey
from presence_server.identity.revocations import Revocation, Revocations, Target


class Section(Protocol):
    """One kind of entries. Whoever changes one is known by its key to whom `tell` was given."""

    @property
    def name(self) -> str: ...

    @property
    def at_once(self) -> bool:
        """Whether a change may be written here and now; not if it is told in the middle of a transition."""
        ...

    def tell(self, changed: Callable[[Any], None]) -> None:
        """From now on call `changed` with the key of each entry that is another."""
        ...

    def keys(self) -> Iterable[Any]:
        """Of all entries that there are."""
        ...

    def dump(self, key: Any) -> tuple[Any, Any]:
        """The key and the value as plain data; None for a value that there is not."""
        ...

    def restore(self, key: Any, value: Any) -> None:
        """An entry was read. Raises ValueError, TypeError or LookupError: it cannot be understood."""
        ...


class ListsSection:
    """Contacts and blocks, by owner."""

    name = "lists"
    at_once = True

    def __init__(self, book: ContactBook, keys: UserKeys) -> None:
        self._book = book
        self._keys = keys

    def tell(self, changed: Callable[[UserKey], None]) -> None:
        self._book.on_change = changed

    def keys(self) -> Iterable[UserKey]:
        return self._book.owners()

    def dump(self, key: UserKey) -> tuple[UserId, Any]:
        (one_way, mutual), blocks = self._book.contacts(key), self._book.blocks(key)
        value = list(one_way), list(mutual), list(blocks)
        return self._keys.user_id(key), value if any(value) else None

    def restore(self, key: UserId, value: Any) -> None:
        one_way, mutual, blocks = (packed(list(ids)) for ids in value)
        self._book.restore(self._keys.key(key), Contacts(one_way, mutual), blocks)


class PrivacySection:
    """To whom users show when they were last seen."""

    name = "privacy"
    at_once = True

    def __init__(self, privacy: Privacy, keys: UserKeys) -> None:
        self._privacy = privacy
        self._keys = keys

    def tell(self, changed: Callable[[UserKey], None]) -> None:
        self._privacy.on_change = changed

    def keys(self) -> Iterable[UserKey]:
        return self._privacy.keys()

    def dump(self, key: UserKey) -> tuple[UserId, Any]:
        said = self._privacy.of(key)
        return self._keys.user_id(key), None if said is LastSeen.EVERYONE else said.value

    def restore(self, key: UserId, value: Any) -> None:
        self._privacy.set(self._keys.key(key), LastSeen(value))


class SightSection:
    """When the sight of viewers last changed: a cursor from before that is not resumed.

    It is noted after what changed it, so its mark is the later one, and is written first.
    """

    name = "sight"
    at_once = True

    def __init__(self, sight: Sight, keys: UserKeys) -> None:
        self._sight = sight
        self._keys = keys

    def tell(self, changed: Callable[[UserKey], None]) -> None:
        self._sight.on_note = changed

    def keys(self) -> Iterable[UserKey]:
        return self._sight.viewers()

    def dump(self, key: UserKey) -> tuple[UserId, Any]:
        return self._keys.user_id(key) if key else 0, self._sight.changed_at(key) or None

    def restore(self, key: UserId, value: Any) -> None:
        self._sight.restore(self._keys.key(key) if key else 0, int(value))


class RevocationsSection:
    """Credentials that are no longer good."""

    name = "revocations"
    at_once = True

    def __init__(self, revocations: Revocations) -> None:
        self._revocations = revocations

    def tell(self, changed: Callable[[Target], None]) -> None:
        self._revocations.on_change = changed

    def keys(self) -> Iterable[Target]:
        return self._revocations.targets()

    def dump(self, key: Target) -> tuple[Target, Any]:
        return key, self._revocations.of(key)

    def restore(self, key: Any, value: Any) -> None:
        user_id, device_id = key
        issued_before, made_at = value
        self._revocations.restore((user_id, device_id), Revocation(float(issued_before), float(made_at)))


class FarewellsSection:
    """What devices that were ended are to be told. `moved`: see `domain.stored.Times`."""

    name = "farewells"
    at_once = False

    def __init__(self, farewells: Farewells, keys: UserKeys, moved: float) -> None:
        self._farewells = farewells
        self._keys = keys
        self._moved = moved

    def tell(self, changed: Callable[[tuple[UserKey, str]], None]) -> None:
        self._farewells.on_change = changed

    def keys(self) -> Iterable[tuple[UserKey, str]]:
        return self._farewells.devices()

    def dump(self, key: tuple[UserKey, str]) -> tuple[tuple[UserId, str], Any]:
        said = self._farewells.of(*key)
        return (self._keys.user_id(key[0]), key[1]), None if said is None else (said[0], *said[1])

    def restore(self, key: Any, value: Any) -> None:
        user_id, device_id = key
        until, cause, reason = value
        farewell = Farewell(Cause(cause), str(reason))
        self._farewells.restore(self._keys.key(user_id), device_id, float(until) + self._moved, farewell)


class HeldSection:
    """Users of whom a change is held back, since they flap: watchers were not told of it yet.

    `restored` are those of the run before. To be given a new seq, since a cursor may be from after such a change.
    """

    name = "held"
    at_once = False

    def __init__(self, pacing: Pacing, keys: UserKeys) -> None:
        self._pacing = pacing
        self._keys = keys
        self.restored: list[UserKey] = []

    def tell(self, changed: Callable[[UserKey], None]) -> None:
        self._pacing.on_hold = changed

    def keys(self) -> Iterable[UserKey]:
        return self._pacing.held()

    def dump(self, key: UserKey) -> tuple[UserId, Any]:
        return self._keys.user_id(key), self._pacing.is_held(key) or None

    def restore(self, key: UserId, _value: Any) -> None:
        self.restored.append(self._keys.key(key))


class PositionsSection:
    """Cursors by name, for those who go on where they were: see `webhooks.ports.Positions`."""

    name = "positions"
    at_once = True

    def __init__(self) -> None:
        self._cursors: dict[str, str] = {}
        self._changed: Callable[[str], None] = _nobody

    def get(self, name: str) -> str | None:
        return self._cursors.get(name)

    def set(self, name: str, cursor: str | None) -> None:
        """None: there is none any more."""
        if cursor is None:
            self._cursors.pop(name, None)
        else:
            self._cursors[name] = cursor
        self._changed(name)

    def tell(self, changed: Callable[[str], None]) -> None:
        self._changed = changed

    def keys(self) -> Iterable[str]:
        return list(self._cursors)

    def dump(self, key: str) -> tuple[str, Any]:
        return key, self._cursors.get(key)

    def restore(self, key: Any, value: Any) -> None:
        self._cursors[str(key)] = str(value)


def sections_of(
    sight: Sight,
    revocations: Revocations,
    farewells: Farewells,
    keys: UserKeys,
    positions: PositionsSection,
    held: HeldSection,
    moved: float,
) -> list[Section]:
    """All that there are on this server. `moved`: see `domain.stored.Times`."""
    found: list[Section] = [
        PrivacySection(sight.privacy, keys),
        SightSection(sight, keys),
        RevocationsSection(revocations),
        FarewellsSection(farewells, keys, moved),
        positions,
        held,
    ]
    if isinstance(sight.policy, ByContacts):
        found.append(ListsSection(sight.policy.book, keys))
    return found


def _nobody(_key: Any) -> None:
    """Nobody keeps it beside this."""
