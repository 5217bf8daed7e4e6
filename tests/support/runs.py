"""A server without sockets on virtual time, started again and again on one directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from engines.timeline import Timeline
from presence_server.app import build_gateway
from presence_server.domain.model import Platform
from presence_server.domain.transitions import AnyTransition, Connect, Transition
from presence_server.settings import Settings
from presence_server.state.disk import Ended, Job
from presence_server.state.life import State

TICK = 0.1
ANN, BOB, EVE, KIM = 10001, 10002, 10003, 10004


class Hands:
    """Does everything at once. `fails`: with what a job fails before it begins."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline

    def submit(self, job: Job, ended: Ended) -> None:
        try:
            job()
        except OSError as failure:
            ended(failure)
        else:
            ended(None)

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self._timeline.call_later(seconds, call)


class Run:
    """One process. `told`: the lines that whoever runs it is told."""

    def __init__(self, path: Path, timeline: Timeline, **settings: Any) -> None:
        self.timeline = timeline
        self.told: list[str] = []
        self.state = State(str(path), timeline, Hands(timeline), bool(settings.get("fsync")), tell=self.told.append)
        self.settings = Settings(state=str(path), **settings)
        self.gateway = build_gateway(self.settings, timeline, Random(), 100, self.state)
        self.hub = self.gateway.hub
        self.engine = self.hub.engine
        self.settle()

    @property
    def now(self) -> float:
        return self.timeline.now()

    def key(self, user_id: int) -> int:
        key = self.hub.keys.key(user_id)
        assert isinstance(key, int)
        return key

    def submit(self, transition: AnyTransition) -> Transition:
        made: list[Transition | None] = []
        self.engine.submit(transition, self.now, made.append)
        assert made[0] is not None
        return made[0]

    def connect(self, user_id: int, device_id: str = "web", **more: Any) -> Transition:
        number = self.hub.engine.next_number()
        return self.submit(Connect(self.key(user_id), device_id, Platform.WEB, number, number, **more))

    def wait(self, seconds: float) -> None:
        """Let time pass, with a sweep ten times a second."""
        until = self.now + seconds
        while self.now < until - 1e-6:
            self.timeline.advance(min(TICK, until - self.now))
            self.engine.sweep(self.now)

    def settle(self) -> None:
        """Until everything is written."""
        self.timeline.advance(0.05)

    def status(self, user_id: int) -> str:
        return self.engine.presence(self.key(user_id)).public.status.value

    def version(self, user_id: int) -> int:
        return self.engine.presence(self.key(user_id)).version

    def cursor(self) -> str:
        return self.gateway.hub.fanout.cursor

    def stop(self) -> None:
        """As SIGTERM does, once everybody has left."""
        self.state.finish()
        self.state.close()

    def kill(self) -> None:
        """Whatever is not written now never is."""
        self.state._keeper = None
        self.state.close()
