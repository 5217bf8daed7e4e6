"""What is left of a user who never came once the last claim has ended."""

from __future__ import annotations

from domain.scene import ANN, Scene, check_statistics
from presence_server.domain.model import Status


def test_a_text_that_ended_leaves_a_user_who_never_came_in_one_place() -> None:
    scene = Scene()
    scene.word(status=Status.ONLINE, until=1, text="lunch", text_until=1)
    scene.wait(1)
    statistics = check_statistics(scene.table, [ANN])
    assert (statistics.strangers, statistics.remembered, statistics.unseen, statistics.deadlines) == (1, 0, 0, 0)
