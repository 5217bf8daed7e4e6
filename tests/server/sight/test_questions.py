"""What the application is asked, and what its answers come to, whatever they are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from presence_server.application.keys import PLAIN
from presence_server.domain.lenses import Lens
from presence_server.visibility.questions import FAILED_LIFE, MAX_ASKED, MAX_LIFE, Question, Questions

ANN, BOB, EVE = 1, 2, 3


class Asked(Questions):
    def __init__(self) -> None:
        self.time = 1_000.0
        super().__init__(PLAIN, lambda: self.time)
        self.sent: list[Question] = []
        self.told: list[float | None] = []
        self.changes: list[tuple[int, list[int]]] = []
        self.attach(lambda viewer, keys: self.changes.append((viewer, list(keys))))

    def send(self, question: Question) -> None:
        self.sent.append(question)

    def ask(self, viewer: int, *keys: int) -> None:
        self.learn(viewer, keys, self.time, self.told.append)

    def answer(self, lenses: dict[str, Any], **more: Any) -> None:
        self.answered(self.sent.pop(0), {"lenses": lenses} | more)


def test_questions_of_one_viewer_go_together_until_they_are_sent() -> None:
    asked = Asked()
    asked.ask(ANN, BOB)
    asked.ask(ANN, BOB, EVE)
    (question,) = asked.sent
    assert asked.body_of(question) == {"viewer": ANN, "userIds": [BOB, EVE]}
    asked.ask(ANN, BOB)
    assert len(asked.sent) == 1, "one question about two users is under way at most"
    asked.answer({"2": "full", "3": "coarse"}, expiresIn=7)
    assert (asked.lens(ANN, BOB), asked.lens(ANN, EVE)) == (Lens.FULL, Lens.COARSE)
    assert asked.told == [7, 7, 7]
    assert asked.changes == [(ANN, [BOB, EVE])]


def test_a_long_question_is_cut() -> None:
    asked = Asked()
    asked.ask(ANN, *range(2, MAX_ASKED + 12))
    assert [len(question.keys) for question in asked.sent] == [MAX_ASKED, 10]


def test_who_is_out_of_date_is_asked_about_again_and_shown_as_before_until_it_is_answered() -> None:
    asked = Asked()
    asked.ask(ANN, BOB)
    asked.answer({"2": "full"}, expiresIn=5)
    asked.time += 5
    asked.ask(ANN, BOB)
    assert asked.lens(ANN, BOB) is Lens.FULL
    asked.answer({})
    assert asked.lens(ANN, BOB) is Lens.HIDDEN
    assert asked.changes == [(ANN, [BOB]), (ANN, [BOB])]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {"lenses": []},
        {"lenses": {"2": "some"}},
        {"lenses": {"2": ["full"]}},
        {"lenses": {"2": {}}},
        {"lenses": {}, "expiresIn": 0},
        {"lenses": {}, "expiresIn": True},
        {"lenses": {"2": "full"}, "expiresIn": json.loads("NaN")},
        {"lenses": {"2": "full"}, "expiresIn": "60"},
    ],
)
def test_what_is_no_answer_hides_and_is_asked_again_soon(answer: Any) -> None:
    asked = Asked()
    asked.ask(ANN, BOB)
    with pytest.raises(ValueError, match=r"answered|must be"):
        asked.answered(asked.sent.pop(), answer)
    assert asked.lens(ANN, BOB) is Lens.HIDDEN
    assert asked.told == [FAILED_LIFE]


@pytest.mark.parametrize("life", [10**400, 1e308, float("inf")])
def test_nothing_is_believed_for_longer_than_an_hour(life: float) -> None:
    asked = Asked()
    asked.ask(ANN, BOB)
    asked.answer({"2": "full"}, expiresIn=life)
    assert asked.lens(ANN, BOB) is Lens.FULL
    assert asked.told == [MAX_LIFE]
