"""A bug of ours that one message sets off: logged, answered with 1011, and nobody else notices."""

import logging

import pytest

from presence_server.application.conversation import Conversation
from support.raw import message
from support.transport import Wire


def test_a_message_that_fails_ends_its_own_connection_with_1011(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(Conversation, "ping", fail)
    wire = Wire()
    wire.receive(message(type="hello", userId=1, deviceId="d", platform="WEB"))
    assert wire.gateway.hub.statistics().sessions == 1

    with caplog.at_level(logging.ERROR):
        wire.receive(message(type="ping"))

    assert wire.transport.written.endswith((1011).to_bytes(2, "big") + b"internal error")
    assert wire.gateway.hub.statistics().sessions == 0
    assert "planted" in caplog.text
    # The device is in grace, as after any other close by the server.
    assert wire.gateway.hub.engine.truth(wire.gateway.hub.keys.key(1)).devices
