"""From a Change to the fan-out: not too often for a user that flaps, and under each topic that somebody watches."""

from __future__ import annotations

from presence_server.application.fanout import Fanout
from presence_server.application.pacing import Pacing
from presence_server.application.ports import Engine
from presence_server.application.sight import Sight
from presence_server.application.turn import Turn
from presence_server.domain.interest import Interest
from presence_server.domain.lenses import Lens, lens_of, partial_topics_of
from presence_server.domain.model import Change, UserKey


class Publishing:
    def __init__(
        self, engine: Engine, interest: Interest, fanout: Fanout, sight: Sight, turn: Turn, min_interval: float
    ) -> None:
        """`min_interval`: seconds, see `pacing`."""
        self._engine = engine
        self._interest = interest
        self._fanout = fanout
        self._sight = sight
        self._turn = turn
        self.pacing = Pacing(min_interval)
        self._restated: set[UserKey] = set()
        """Users whose status has changed, or what is shown of them, while pacing holds it."""

    def publish(self, change: Change, now: float) -> None:
        user_id = change.user_id
        is_restated = change.before.status is not change.after.status or change.before == change.after
        if self.pacing.admit(user_id, change.version, now):
            self._gather(user_id, change.version, is_restated, now)
        elif is_restated and not self._sight.is_open:
            self._restated.add(user_id)

    def release(self, now: float) -> None:
        """Publish what was held back for long enough, under a seq of its own."""
        self._publish(self.pacing.release(now), now)

    def release_all(self, now: float) -> None:
        """Publish all that is held of flapping users: whoever goes on from the records knows nothing of it.

        Else a cursor from after such a change, which was not told yet, would pass it over there. An entry of its own.
        """
        with self._turn:
            self._publish(self.pacing.release_all(), now)

    def _publish(self, held: list[tuple[UserKey, int]], now: float) -> None:
        for user_id, version in held:
            self._engine.restamp(user_id, now)
            is_restated = user_id in self._restated
            self._restated.discard(user_id)
            self._gather(user_id, version, is_restated, now)

    def _gather(self, user_id: UserKey, version: int, is_restated: bool, now: float) -> None:
        """`is_restated`: not only details changed, which those do not learn of who may see the status alone."""
        if self._interest.is_watched(user_id):
            self._fanout.gather(user_id, version, now)
            self._turn.wake()
        if not self._sight.is_open:
            for topic in partial_topics_of(user_id):
                if self._interest.is_watched(topic) and (is_restated or lens_of(topic) is Lens.UNTIMED):
                    self._fanout.gather(topic, version, now)
                    self._turn.wake()
