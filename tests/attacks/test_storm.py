"""Many who come at once: those who are connected do not wait for them, each of the others is told when to come back,
and all of them are in when they have done so."""

from __future__ import annotations

import time
from contextlib import ExitStack

from attacks.bystander import From, told, watching
from support.raw import message, upgrade
from support.server import run_server

CROWD = 1500


def hello(user_id: int) -> bytes:
    return message(type="hello", userId=user_id, deviceId="d", platform="WEB")


def refusal_of(client: From) -> float | None:
    """When it is to come back, in seconds; None: it is welcome."""
    first = client.message()
    if first["type"] == "welcome":
        return None
    assert (first["type"], first["code"], first["error"]) == ("error", 503, "unavailable")
    assert first["details"][0]["field"] == "admission_lag"
    assert told(client)[1] == 4503
    after: int = first["retryAfterMs"]
    assert 1000 <= after <= 121_000
    return after / 1000


def test_all_of_a_crowd_that_says_hello_at_once_come_in_when_they_were_told_to() -> None:
    with (
        run_server(admission_lag=0.02, hello_timeout=300) as server,
        watching(server, token=False),
        ExitStack() as all_,
    ):
        crowd = {number: all_.enter_context(From(server, seconds=60)) for number in range(1, CROWD + 1)}
        for client in crowd.values():
            client.send(upgrade())
        for client in crowd.values():
            assert client.reply().status == 101
        time.sleep(1.1)  # their handshakes are long ago: another process's clock
        for number, client in crowd.items():
            client.send(hello(number))
        began = time.monotonic()
        waits = {number: after for number, client in crowd.items() if (after := refusal_of(client)) is not None}
        assert len(waits) > CROWD / 4
        assert len({round(after, 2) for after in waits.values()}) > 5  # spread
        tries = len(waits)
        due = {number: began + after for number, after in waits.items()}
        while due:
            number = min(due, key=lambda number: due[number])
            time.sleep(max(0.0, due.pop(number) - time.monotonic()))
            crowd[number].socket.close()
            client = crowd[number] = all_.enter_context(From(server, seconds=60))
            client.send(upgrade() + hello(number))
            assert client.reply().status == 101
            if (again := refusal_of(client)) is not None:
                tries += 1
                due[number] = time.monotonic() + again
            assert time.monotonic() - began < 240
        assert server.metric("presence_websocket_sessions") == CROWD + 1
        assert server.metric('presence_limit_refusals_total{limit="admission_lag"}') == tries
        assert tries < 3 * CROWD


def test_a_few_are_let_in_however_late_the_loop_is() -> None:
    """A bound that every loop exceeds: what makes it late is not the few who come."""
    with run_server(admission_lag=0.001) as server:
        for number in range(1, 80):
            time.sleep(0.02)  # fewer than are let in whatever happens
            with From(server) as client:
                client.send(upgrade() + hello(number))
                assert client.reply().status == 101
                assert client.message()["type"] == "welcome"
