"""The contracts and their first implementations: what a type checker holds to the letter, held at run time in shape."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from application.engines import LateEngine, ManualClock
from application.kit import FakeLink
from presence_server.application import ports
from presence_server.application.policies import Everyone
from presence_server.clock import SystemClock
from presence_server.engines.memory import MemoryEngine
from presence_server.identity.authentication import Authentication
from presence_server.transports.websocket.connection import WebSocketConnection


@pytest.mark.parametrize(
    ("contract", "kind"),
    [
        (ports.Engine, MemoryEngine),
        (ports.Engine, LateEngine),
        (ports.Clock, SystemClock),
        (ports.Clock, ManualClock),
        (ports.Authenticator, Authentication),
        (ports.Visibility, Everyone),
        (ports.Link, WebSocketConnection),
        (ports.Link, FakeLink),
    ],
)
def test_each_implementation_takes_what_its_contract_says(contract: type[Any], kind: type[Any]) -> None:
    for name, promised in vars(contract).items():
        if name.startswith("_") or not inspect.isfunction(promised):
            continue
        given = inspect.signature(getattr(kind, name))
        assert list(given.parameters) == list(inspect.signature(promised).parameters), name


def test_each_contract_says_what_it_promises() -> None:
    for contract in (ports.Engine, ports.Clock, ports.Authenticator, ports.Visibility, ports.Link):
        assert contract.__doc__
