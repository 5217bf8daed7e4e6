"""Who is remembered after their last device ended, and who is forgotten first."""

from presence_server.domain.model import Override, Status, UserRecord
from presence_server.domain.remembered import Remembered


def record(user_id: int, *, overridden: bool = False) -> UserRecord:
    made = UserRecord(user_id)
    made.override = Override(Status.OFFLINE) if overridden else None
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


def test_overrides_go_last_and_oldest_first_among_themselves() -> None:
    remembered = Remembered(2)
    first, second, third = (record(n, overridden=True) for n in (1, 2, 3))
    assert forgotten(remembered, first, record(10), second) == [10]
    assert forgotten(remembered, record(11)) == [11]
    assert forgotten(remembered, third) == [1]


def test_whose_override_ended_is_no_longer_kept_for_it() -> None:
    remembered = Remembered(2)
    one, two = record(1, overridden=True), record(2, overridden=True)
    remembered.add(one)
    remembered.add(two)
    one.override = None
    assert forgotten(remembered, one) == []
    assert forgotten(remembered, record(3, overridden=True)) == [1]


def test_whoever_came_back_is_no_longer_counted() -> None:
    remembered = Remembered(2)
    remembered.add(record(1))
    remembered.add(record(2, overridden=True))
    remembered.discard(1)
    remembered.discard(2)
    remembered.discard(3)
    assert len(remembered) == 0
    assert forgotten(remembered, record(4), record(5)) == []
