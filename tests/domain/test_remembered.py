"""Who is remembered after their last device ended, and who is forgotten first."""

from presence_server.domain.model import SELF, Claim, Status, UserRecord
from presence_server.domain.remembered import Remembered


def record(user_id: int, *, overridden: bool = False) -> UserRecord:
    made = UserRecord(user_id)
    made.claims = (Claim(SELF, "status", 0, None, Status.OFFLINE),) if overridden else ()
    return made


def forgotten(remembered: Remembered, *records: UserRecord) -> list[int]:
    return [oldest.user_id for each in records if (oldest := remembered.add(each)) is not None]


def test_up_to_the_limit_nobody_is_forgotten() -> None:
    remembered = Remembered(3)
    assert forgotten(remembered, record(1), record(2), record(3)) == []
    assert len(remembered) == 3


def test_the_oldest_is_forgotten_first() -> None:
    remembered = Remembered(2)
    assert forgotten(remembered, record(1), record(2), record(3), record(4)) == [1, 2]
    assert len(remembered) == 2


def test_whoever_is_added_again_is_the_newest() -> None:
    remembered = Remembered(2)
    one = record(1)
    assert forgotten(remembered, one, record(2), one, record(3)) == [2]


def test_overrides_and_last_seen_times_have_half_of_the_room_each_when_it_is_short() -> None:
    remembered = Remembered(4)
    overridden = [record(n, overridden=True) for n in range(1, 6)]
    assert forgotten(remembered, *map(record, range(11, 15))) == []
    assert forgotten(remembered, *overridden[:2]) == [11, 12]
    assert forgotten(remembered, *overridden[2:]) == [1, 2, 3]
    assert forgotten(remembered, record(15), record(16)) == [13, 14]


def test_what_one_of_the_two_does_not_need_is_the_others() -> None:
    remembered = Remembered(4)
    assert forgotten(remembered, *(record(n, overridden=True) for n in range(1, 6))) == [1]
    remembered = Remembered(4)
    assert forgotten(remembered, *map(record, range(1, 6))) == [1]


def test_whose_override_ended_is_no_longer_kept_for_it() -> None:
    remembered = Remembered(2)
    one = record(1, overridden=True)
    assert forgotten(remembered, one, record(2)) == []
    one.claims = ()
    assert forgotten(remembered, one) == []
    assert forgotten(remembered, record(3, overridden=True)) == [2]


def test_whoever_came_back_is_no_longer_counted() -> None:
    remembered = Remembered(2)
    remembered.add(record(1))
    remembered.add(record(2, overridden=True))
    remembered.discard(1)
    remembered.discard(2)
    remembered.discard(3)
    assert len(remembered) == 0
    assert forgotten(remembered, record(4), record(5)) == []
