"""What is left of a user who never came once the last claim has ended."""

from __future__ import annotations

from domain.scene import ANN, BOB, EVE, Scene, check_statistics
from presence_server.domain.model import Status


def test_a_text_that_ended_leaves_a_user_who_never_came_in_one_place() -> None:
    scene = Scene()
    scene.word(status=Status.ONLINE, until=1, text="lunch", text_until=1)
    scene.wait(1)
    statistics = check_statistics(scene.table, [ANN])
    assert (statistics.strangers, statistics.remembered, statistics.unseen, statistics.deadlines) == (1, 0, 0, 0)


def test_who_is_pushed_out_again_and_again_fades_once() -> None:
    scene = Scene(max_remembered=0, grace=0)
    link = scene.connect()
    scene.say(Status.BUSY, text="lunch")
    scene.leave(link)
    scene.say(Status.BUSY, text="supper")
    (faded,) = scene.wait(1)
    assert faded.change is not None
    assert faded.change.after.text is None
    assert check_statistics(scene.table, [ANN]).users == 0


def test_those_who_push_each_other_out_are_counted_once() -> None:
    scene = Scene(max_remembered=2, grace=0)
    everybody = [ANN, BOB, EVE]
    for user_id in everybody:
        scene.leave(scene.connect(user_id))
        scene.say(Status.BUSY, user_id, text="lunch")
    for user_id in everybody * 2:
        scene.say(Status.BUSY, user_id, text="supper")
        check_statistics(scene.table, everybody)
    scene.wait(1)
    assert check_statistics(scene.table, everybody).remembered == 2
