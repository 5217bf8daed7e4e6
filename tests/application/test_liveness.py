"""Which connections are alive: pings and answers, the time for a hello, and what blocked ones are held to."""

import pytest

from application.kit import ANN, Client, World
from presence_protocol.messages import Ping
from presence_server.application.hub import HubLimits
from presence_server.application.liveness import LinkTimes
from presence_server.domain.shard import Lifetimes

TIMES = LinkTimes(hello_timeout=10, ping_interval=25, pong_timeout=10, lag_limit=30)


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
    assert not client.is_up
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
