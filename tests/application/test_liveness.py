"""Which connections are alive: the wheel by itself, then pings, hellos and blocked connections in the whole."""

from __future__ import annotations

import pytest

from application.engines import START
from application.kit import ANN, Client, World
from presence_protocol.messages import Ping
from presence_protocol.session import State
from presence_server.application.hub_limits import HubLimits
from presence_server.application.liveness import LinkFailure, LinkTimes, Liveness
from presence_server.application.sessions import Session
from presence_server.domain.shared import Lifetimes

TIMES = LinkTimes(hello_timeout=10, ping_interval=25, pong_timeout=10, lag_limit=30)


class Scene:
    def __init__(self, state: State = State.LIVE) -> None:
        world = World()
        self.link, self.turn = world.client().open().link, world.hub.turn
        self.session: Session = self.link.session
        self.session.state = state
        self.liveness = Liveness(TIMES, self.turn)
        self.liveness.add(self.session, START)
        if state is State.LIVE:
            self.liveness.start_pings(self.session, START)

    def at(self, seconds: float) -> list[LinkFailure]:
        with self.turn:
            return [verdict for _, verdict in self.liveness.sweep(START + seconds)]

    def block(self, seconds: float) -> None:
        self.session.blocked_since = START + seconds
        self.liveness.block(self.session)

    def drain(self, seconds: float) -> None:
        self.session.blocked_since = 0.0
        self.liveness.unblock(self.session, START + seconds)


def test_without_a_hello_it_ends_in_time_whatever_its_socket_does() -> None:
    for disturb in (lambda scene: None, lambda scene: scene.block(9), lambda scene: (scene.block(8), scene.drain(9))):
        scene = Scene(State.OPEN)
        disturb(scene)
        assert scene.at(9.9) == []
        assert scene.at(10) == [LinkFailure.HELLO_TIMEOUT]
        assert scene.at(100) == []


def test_it_is_pinged_once_an_interval_for_as_long_as_it_answers() -> None:
    scene = Scene()
    for number in range(1, 5):
        assert scene.at(25 * number - 0.1) == []
        assert scene.link.pings == number - 1
        assert scene.at(25 * number) == []
        assert scene.link.pings == number
        scene.session.heard = START + 25 * number + 9
        assert scene.at(25 * number + 10) == []


def test_an_unanswered_ping_is_its_end_and_silence_alone_is_not() -> None:
    scene = Scene()
    assert scene.at(24.9) == []
    assert scene.at(25) == []
    assert scene.at(34.9) == []
    assert scene.at(35) == [LinkFailure.DEAD]


def test_a_sweep_that_comes_late_pings_before_it_judges() -> None:
    scene = Scene()
    assert scene.at(1_000) == []
    assert scene.link.pings == 1
    scene.session.heard = START + 1_001
    assert scene.at(2_000) == []  # the pong was seen, and the next ping is due
    assert scene.link.pings == 2


def test_while_it_is_blocked_that_counts() -> None:
    scene = Scene()
    scene.at(25)
    scene.session.heard = START + 25.5
    scene.block(26)
    assert scene.at(35.5) == []
    assert scene.at(55.9) == []
    assert scene.at(56) == [LinkFailure.TOO_SLOW]


def test_one_that_died_before_it_blocked_is_not_given_more_time_by_that() -> None:
    scene = Scene()
    scene.at(25)
    scene.block(34)  # its ping is still unanswered
    assert scene.at(34.9) == []
    assert scene.at(35) == [LinkFailure.TOO_SLOW]


def test_one_that_takes_some_now_and_then_is_alive() -> None:
    scene = Scene()
    scene.block(10)
    scene.drain(30)
    scene.block(31)
    assert scene.at(60.9) == []
    assert scene.at(61) == [LinkFailure.TOO_SLOW]


def test_a_ping_that_fills_the_socket_leaves_it_the_time_of_who_is_blocked() -> None:
    client = World(limits=HubLimits(times=TIMES)).connect()
    client.world.wait(20)
    client.say(Ping())
    client.link.stop()
    client.link.pings_fill_it = True
    client.world.wait(16)
    assert client.session.behind
    assert client.is_up
    client.world.wait(20)
    assert client.link.closed == (4508, "too slow to read what is sent")


def test_a_pong_that_waited_unread_gets_its_time() -> None:
    scene = Scene()
    scene.at(25)
    scene.block(26)
    scene.drain(50)
    assert scene.at(59.9) == []
    scene.session.heard = START + 59.9
    assert scene.at(60) == []
    assert scene.link.pings == 1


def test_one_that_drained_and_has_no_ping_to_answer_gets_one_after_an_interval() -> None:
    scene = Scene()
    scene.block(20)
    scene.drain(24)
    assert scene.at(48.9) == []
    assert scene.link.pings == 0
    scene.at(49)
    assert scene.link.pings == 1


def test_one_that_had_answered_before_it_was_blocked_is_not_waited_for() -> None:
    scene = Scene()
    scene.at(25)
    scene.session.heard = START + 26
    scene.block(27)
    scene.drain(28)
    assert scene.at(38) == [], "it was asked nothing since"
    assert scene.at(52.9) == []
    assert scene.link.pings == 1
    assert scene.at(53) == []
    assert scene.link.pings == 2
    assert scene.at(63) == [LinkFailure.DEAD]


def test_one_that_waits_for_the_engine_is_neither_pinged_nor_judged() -> None:
    scene = Scene(State.GREETED)
    assert scene.at(10) == []
    assert scene.at(60) == []
    assert scene.link.pings == 0
    assert len(scene.liveness) == 1


def test_one_that_left_is_forgotten() -> None:
    scene = Scene()
    scene.liveness.discard(scene.session)
    assert scene.at(1_000) == []
    assert len(scene.liveness) == 0


# -- in the whole ---


def world() -> World:
    return World(limits=HubLimits(times=TIMES, min_publish_interval=0), lifetimes=Lifetimes(grace=10))


def answer_ping(client: Client) -> None:
    client.world.hub.heard(client.session, client.world.now)


def block(client: Client) -> None:
    """Its socket is full: what it says meanwhile, pongs too, cannot be read."""
    client.link.stop()
    client.link.is_blocked = True
    client.world.hub.blocked(client.session, client.world.now)


def test_no_hello_in_time_is_4504() -> None:
    scene = world()
    client = scene.client().open()
    scene.wait(9.5)
    assert client.is_up
    scene.wait(1)
    assert client.link.closed is not None
    assert client.link.closed[0] == 4504


def test_a_link_that_answers_is_pinged_at_each_interval_and_lives() -> None:
    scene = world()
    client = scene.connect(ANN)
    for number in range(1, 6):
        scene.wait(25.25)
        assert client.link.pings == number
        answer_ping(client)
    assert client.is_up


def test_a_link_that_does_not_answer_is_dead_and_its_device_in_grace() -> None:
    scene = world()
    client = scene.connect(ANN)
    client.link.stop()  # its cable was pulled
    scene.wait(25.25)
    assert client.link.pings == 1
    scene.wait(9.5)
    assert client.is_up
    scene.wait(1)
    assert client.link.is_aborted
    assert scene.table.presence(ANN).public.status == "ONLINE"
    scene.wait(10.5)
    assert scene.table.presence(ANN).public.status == "OFFLINE"


def test_any_message_counts_as_life() -> None:
    scene = world()
    client = scene.connect(ANN)
    scene.wait(25.25)
    answer_ping(client)  # a frame of any kind arrives
    client.say(Ping())
    scene.wait(20)
    assert client.is_up


def test_silence_alone_is_not_death() -> None:
    scene = world()
    client = scene.connect(ANN)
    scene.wait(24)
    assert client.is_up
    assert client.link.pings == 0


@pytest.mark.parametrize(("blocked_for", "lives"), [(29, True), (31, False)])
def test_a_blocked_link_is_given_the_lag_limit_whatever_its_pings(blocked_for: float, lives: bool) -> None:
    scene = world()
    client = scene.connect(ANN)
    block(client)
    scene.wait(blocked_for)
    assert client.is_up is lives


def test_a_pong_that_waited_unread_gets_its_time_once_the_link_is_read_again() -> None:
    scene = world()
    client = scene.connect(ANN)
    scene.wait(25.25)
    block(client)
    scene.wait(20)
    client.link.drain()
    scene.wait(9)
    assert client.is_up
    answer_ping(client)
    scene.wait(20)
    assert client.is_up
