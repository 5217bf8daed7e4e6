"""Who is let in while the server is busy, and when the others are to come back."""

from __future__ import annotations

from itertools import pairwise

from application.engines import ManualClock
from application.kit import ANN, World
from presence_protocol.messages import Error
from presence_server.application.admission import LEAST, LOOKS, Admission

BOUND = 0.1


def looked(admission: Admission, now: float, *, late: float = 0.0, flush: float = 0.0, looks: int = 1) -> float:
    for _ in range(looks):
        now += LOOKS
        admission.look(now, late, flush)
    return now


def test_while_nothing_is_late_everybody_is_let_in() -> None:
    admission, now = Admission(BOUND, 0.0), 0.0
    for _ in range(20):
        assert all(admission.take(now) is None for _ in range(700))
        now = looked(admission, now, late=BOUND / 2, flush=BOUND)


def test_more_at_once_than_the_loop_can_bear_are_not_let_in_though_it_is_not_late_yet() -> None:
    admission = Admission(BOUND, 0.0)
    told = [admission.take(0.0) for _ in range(2000)]
    assert sum(over is None for over in told) == 2 * BOUND / 0.000_25
    assert all(over is None for over in told[:800])


def test_a_loop_that_is_late_for_other_reasons_turns_nobody_away() -> None:
    admission, now = Admission(BOUND, 0.0), 0.0
    for _ in range(100):
        assert all(admission.take(now) is None for _ in range(int(LEAST * LOOKS)))
        now = looked(admission, now, late=1.0)


def test_a_wave_is_cut_where_the_loop_begins_to_be_late_and_before_that_is_measured() -> None:
    admission = Admission(BOUND, 0.0)
    each = 0.000_25
    told = [admission.take(number * each) for number in range(4000)]  # a second of one turn of the loop
    let_in = told.index(next(over for over in told if over is not None))
    assert let_in * each <= LOOKS + BOUND + each
    assert sum(over is None for over in told) < 0.8 * len(told)


def test_a_long_flush_counts_as_the_loop_does() -> None:
    admission = Admission(BOUND, 0.0)
    for _ in range(1000):
        admission.take(0.0)
    now = looked(admission, 0.0, flush=0.2)
    assert not admission.is_open
    assert any(admission.take(now) for _ in range(1000))


def test_those_turned_away_come_back_spread_by_how_many_wait() -> None:
    admission = Admission(BOUND, 0.0)
    for _ in range(200):
        admission.take(0.0)
    now = looked(admission, 0.0, late=0.3)
    waits = [over.wait for _ in range(5000) if (over := admission.take(now)) is not None]
    assert waits == sorted(waits)
    assert 1.0 <= waits[0] < 1.1
    gaps = {round(later - sooner, 6) for sooner, later in pairwise(waits)}
    assert len(gaps) == 1
    assert 1 / admission.rate <= gaps.pop() <= 2 / admission.rate
    assert len(waits) * 0.9 <= admission.waiting <= len(waits) * 1.5 + admission.rate


def test_the_rate_falls_while_it_is_too_much_and_grows_when_it_is_not() -> None:
    admission, now = Admission(BOUND, 0.0), 0.0
    for _ in range(300):
        admission.take(now)
    rates = []
    for _ in range(20):
        now = looked(admission, now, late=0.2)
        rates.append(admission.rate)
        for _ in range(1000):
            admission.take(now)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == LEAST
    now = looked(admission, now, looks=100)
    assert admission.is_open


def test_all_of_a_crowd_are_in_within_what_the_rate_says() -> None:
    """Ten thousand who obey, and a server on which each costs half a millisecond of a loop."""
    admission, now = Admission(BOUND, 0.0), 0.0
    due = [0.0] * 10_000
    late, asked = 0.0, 0
    while due and now < 200:
        coming = [moment for moment in due if moment <= now]
        due = [moment for moment in due if moment > now]
        spent = 0.0
        for _ in coming:
            asked += 1
            over = admission.take(now + spent)
            spent += 0.000_1 if over else 0.000_5
            if over:
                due.append(now + over.wait)
        late = max(0.0, late + spent - LOOKS)
        now += max(LOOKS, spent)
        admission.look(now, max(late, spent - LOOKS, 0.0), 0.0)
    assert not due
    assert now < 60
    assert asked < 4 * 10_000


def test_0_lets_everybody_in() -> None:
    admission = Admission(0.0, 0.0)
    admission.look(5.0, 5.0, 5.0)
    assert all(admission.take(99.0) is None for _ in range(5000))


def test_what_can_wait_waits_longer_under_load_and_as_usual_after_it() -> None:
    admission = Admission(BOUND, 0.0)
    now = looked(admission, 0.0, looks=10)
    assert admission.stretch == 1
    stretches = []
    for _ in range(40):
        now = looked(admission, now, late=0.2)
        stretches.append(admission.stretch)
    assert stretches == sorted(stretches)
    assert stretches[-1] == 4
    looked(admission, now, looks=200)
    assert admission.stretch == 1


def test_a_late_hello_is_a_new_client_and_one_right_after_its_handshake_is_not() -> None:
    admission = Admission(BOUND, ManualClock().now())
    world = World(admission=admission)
    crowd = [world.client().open() for _ in range(1000)]
    fresh = world.client().open()
    fresh.hello(ANN)
    assert fresh.link.closed is None
    for _ in range(300):
        admission.take(world.now)
    world.wait(1.5)
    admission.look(world.now, 0.5, 0.0)
    for number, client in enumerate(crowd):
        client.hello(1000 + number)
    turned_away = [client for client in crowd if client.link.closed is not None]
    assert len(crowd) * 0.8 < len(turned_away) < len(crowd)
    assert turned_away[0].link.closed is not None
    assert turned_away[0].link.closed[0] == 4503
    waits = [client.take(Error)[0].retry_after_ms for client in turned_away]
    assert waits == sorted(waits)  # type: ignore[type-var]
    assert waits[0] != waits[-1]


def test_after_a_restart_all_who_were_there_are_let_in_in_time_however_late_the_loop_is() -> None:
    admission, now, within = Admission(BOUND, 0.0), 0.0, 30.0
    admission.expect(10_000, within, now)
    let_in = 0
    while now < within:
        let_in += sum(admission.take(now) is None for _ in range(200))
        now = looked(admission, now, late=1.0)
    assert let_in >= 10_000
    now = looked(admission, now, late=1.0, looks=200)
    assert admission.rate == LEAST
