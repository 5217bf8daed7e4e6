"""What all shards of one table share: lifetimes, clocks, the rooms of users who are away, and counts.

Nothing here belongs to one user: a bound holds over all shards together, and a wheel turns for all of them.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from itertools import takewhile
from operator import itemgetter
from typing import Final, NamedTuple

from presence_server.domain.attendance import Attendance
from presence_server.domain.chronicle import Chronicle
from presence_server.domain.claims import Rules
from presence_server.domain.deadlines import Deadlines
from presence_server.domain.farewells import Farewells
from presence_server.domain.logins import Logins
from presence_server.domain.model import Device, Status, UserKey, UserRecord
from presence_server.domain.promises import Promises
from presence_server.domain.remembered import Remembered
from presence_server.domain.unseen import Unseen
from presence_server.domain.versions import Versions

LATELY: Final = 200
"""Changes that are remembered in their order: as many users as most watch, so that looking at all never costs less."""

GONE: Final = 65_536
"""Users without a device of whom it is remembered which device was their last: some 200 bytes each."""


class Lifetimes(NamedTuple):
    """How long things last, in seconds, and how many devices a user may have. `away_after` 0: never.

    `unseen`: what a user said who never came."""

    grace: float = 10.0
    rest: float = 75.0
    away_after: float = 0.0
    max_devices: int = 16
    unseen: float = 86_400.0


class Shared:
    """What all shards of one table share: lifetimes, clocks, and the bounds that hold over all of them."""

    def __init__(
        self,
        lifetimes: Lifetimes,
        versions: Versions,
        max_remembered: int,
        max_unseen: int,
        salt: int,
        rules: Rules,
        logins: Logins,
    ) -> None:
        self.lifetimes = lifetimes
        self.rules = rules
        self.logins = logins
        self.has_policy = logins != Logins()
        self.versions = versions
        self.deadlines: Deadlines[Device] = Deadlines()
        self.edges: Deadlines[UserRecord] = Deadlines(salt=salt)
        """When the next claim of a user begins or ends, one a user, however many claims there are. The hand of this
        wheel is the calendar: it may be moved, and what it reaches is due."""
        self.promises = Promises()
        self.stretch = 1.0
        """How many times longer than usual REST devices live for now: they were asked for heartbeats less often."""
        self.remembered = Remembered(max_remembered)
        self.unseen = Unseen(max_unseen, lifetimes.unseen)
        self.strangers = Remembered(max_unseen)
        """Users who never came, of whom nothing is claimed any more but others were told something."""
        self.fading: dict[UserRecord, None] = {}
        """Who is to be forgotten while others still see something of them: they are told first, at the next sweep."""
        self.users_by_status = dict.fromkeys(Status, 0)
        self.devices = 0
        self.with_devices = 0
        """Users who have a device."""
        self.attendance = Attendance()
        self.farewells = Farewells()
        self.floor = 0
        """The greatest seq of any record that was ever forgotten."""
        self.chronicle: Chronicle | None = None
        """Kept from when somebody has asked for it."""
        self._gone: OrderedDict[UserRecord, None] = OrderedDict()
        self._second = 0
        self._lately: deque[tuple[int, UserKey]] = deque(maxlen=LATELY)

    def note(self, record: UserRecord, is_restamped: bool = False) -> None:
        """The record has a new seq, the greatest of all. `is_restamped`: for what was told before."""
        self._lately.append((record.seq, record.user_id))
        if self.chronicle is not None:
            (self.chronicle.restamped if is_restamped else self.chronicle.note)(record)

    def note_gone(self, record: UserRecord) -> None:
        """The user has no device any more, but the record tells which was the last: of so many, and no more."""
        self._gone[record] = None
        self._gone.move_to_end(record)  # whoever goes again and again stands here once
        if len(self._gone) > GONE:
            oldest, _ = self._gone.popitem(last=False)
            if not oldest.devices:
                oldest.by = None

    def changed_after(self, seq: int) -> set[UserKey] | None:
        """The users whose record may have a greater seq; None if they are too many to know.

        Whoever resumes soon after need not have each user looked at whom they watch: the records of thousands lie far
        apart in memory, and looking at them was an eighth of what a resume costs.
        """
        if len(self._lately) == LATELY and self._lately[0][0] > seq:
            return None
        return set(map(itemgetter(1), takewhile(lambda noted: noted[0] > seq, reversed(self._lately))))

    def second_of(self, utc: float) -> int:
        """`utc` in whole seconds: one object for all stamps of the same second, where each had several of its own."""
        second = int(utc)
        if second != self._second:
            self._second = second
        return self._second
