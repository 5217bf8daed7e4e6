"""What is said and claimed of users decides the same on the fake server as on the real one."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from presence_client.testing import claims as fake
from presence_protocol.fields import format_time
from presence_protocol.messages import SetStatus
from presence_server.application.words import check_word, word_of
from presence_server.domain import aggregate, claims, model
from presence_server.transports.rest.claim_bodies import claims_of, patch_of
from presence_server.transports.rest.envelope import Refusal

AHEAD = st.none() | st.integers(1, 4)
TEXT = st.sampled_from(["lunch", None, UNSET])
SAID = st.tuples(st.just("say"), st.sampled_from(["AWAY", "BUSY", "OFFLINE", None, UNSET]), AHEAD, TEXT, AHEAD)
CLAIM = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["a", "b"]),
        "status": st.sampled_from(["AWAY", "BUSY", "OFFLINE", None]),
        "statusText": st.sampled_from(["call", ""]),
        "from": st.integers(-1, 3),
        "until": st.integers(0, 5),
        "alone": st.booleans(),
    },
)
SOURCE = st.sampled_from(["call", "self", "hours"])
PUT = st.tuples(st.just("put"), SOURCE, st.lists(CLAIM, max_size=3))
PATCH = st.tuples(st.just("patch"), SOURCE, CLAIM)
LATER = st.tuples(st.just("later"), st.integers(1, 3))
DEVICE = model.Device(1, "d", model.Platform.WEB, 1, 0.0, 0)
SOURCES = {name: model.Source(name, weight) for name, weight in fake.SOURCES.items()}


WORDS = st.tuples(st.just("say"), st.sampled_from(["AWAY", "BUSY", UNSET]), AHEAD, st.just(UNSET), st.none())
OWN = st.tuples(st.just("put"), st.just("self"), st.lists(CLAIM, min_size=1, max_size=2))
LIFETIMES = st.sampled_from([{}, {"BUSY": 3, "AWAY": 2}])


@given(st.lists(SAID | PUT | PATCH | LATER, max_size=10), LIFETIMES)
def test_both_keep_and_show_the_same(events: list[Any], lifetimes: dict[str, int]) -> None:
    both(events, lifetimes)


@settings(max_examples=300)
@given(st.lists(WORDS | LATER, min_size=2, max_size=5), LIFETIMES)
def test_both_hear_a_person_alike(events: list[Any], lifetimes: dict[str, int]) -> None:
    both(events, lifetimes)


@settings(max_examples=300)
@given(st.lists(OWN | WORDS, min_size=1, max_size=3), st.just({"BUSY": 3, "AWAY": 2}))
def test_both_take_a_persons_own_claims_alike(events: list[Any], lifetimes: dict[str, int]) -> None:
    both(events, lifetimes)


def both(events: list[Any], lifetimes: dict[str, int]) -> None:
    """Let the same happen to both, and compare what they keep, show and wait for."""
    rules = fake.Rules(fake.SOURCES, lifetimes)
    ours = claims.Rules(SOURCES["self"], {model.Status(name): seconds for name, seconds in lifetimes.items()})
    held: fake.Stack = ()
    real: claims.Claims = ()
    now = 1_000_000
    for kind, *more in events:
        before = held, real
        told: Any = None
        expected: Any = None
        if kind == "later":
            now += more[0]
            held, real = fake.settled(held, now), claims.settled(real, now)
        elif kind == "say":
            told, expected, held, real = say(more, held, real, now, rules, ours)
        else:
            told, expected, held, real = claim(kind, more, held, real, now, rules, ours)
        assert told == expected
        if told is not None:
            held, real = before
        assert [(*each[:7], each.lapses) for each in held] == [shown(each) for each in real]
        for devices, word in ([(), None], [(DEVICE,), "ONLINE"]):
            status, by, text_by, _ = aggregate.decide(real, devices, now)  # type: ignore[arg-type]
            verdict = fake.decide(held, word, now)  # type: ignore[arg-type]
            assert verdict.status == status
            assert [one and (one.source, one.id) for one in (verdict.by, verdict.text_by)] == [
                one and (one.source.name, one.id) for one in (by, text_by)
            ]
        assert fake.next_edge(held, now) == claims.next_edge(real, now)


def shown(claim: model.Claim) -> tuple[Any, ...]:
    status = None if claim.status is None else claim.status.value
    return claim.source.name, claim.source.weight, claim.id, claim.since, claim.until, status, claim.text, claim.lapses


def say(more: Any, held: Any, real: Any, now: int, rules: Any, ours: Any) -> Any:
    status, ahead, text, text_ahead = more
    ends = (UNSET if each is None else format_time(now + each) for each in (ahead, text_ahead))
    try:
        message = SetStatus(status=status, until=next(ends), status_text=text, text_until=next(ends))
    except ValueError:
        return None, None, held, real  # nothing is said
    word = word_of(message)
    expected = check_word(word, now) or claims.said(real, word, now, ours)
    told = fake.said(held, message, now, rules)
    wrong = (told.field, told.reason) if isinstance(told, fake.Wrong) else None
    right = tuple(expected) if isinstance(expected, claims.Wrong) else None
    return wrong, right, told, expected


def claim(kind: str, more: Any, held: Any, real: Any, now: int, rules: Any, ours: Any) -> Any:
    """As the endpoints do it."""
    name, given = more
    source = SOURCES[name]
    items = [
        each | {field: format_time(now + each[field]) for field in ("from", "until") if field in each}
        for each in (given if kind == "put" else [given])
    ]
    wrong = right = None
    if kind == "put":
        made = [fake.held_of(each, name, now, rules) for each in items]
        wrong = next((index for index, each in enumerate(made) if isinstance(each, fake.Wrong)), None)
        ids = [each["id"] for each in items if "id" in each]
        if len(set(ids)) < len(ids):
            return None, None, held, real  # which REST refuses
        try:
            new = claims_of({"claims": items}, source, now)
        except Refusal as refused:
            right = int(refused.details[0].field[len("claims[")])
            return wrong, right, held, real
        return wrong, right, fake.replaced(held, name, made), claims.replaced(real, source, new, now, ours)  # type: ignore[arg-type]
    item = {"id": "a"} | items[0]
    was = next((one for one in held if (one.source, one.id) == (name, item["id"])), None)
    one = fake.held_of(item, name, now, rules, was)
    try:
        id, patch = patch_of(item, now)
    except Refusal as refused:
        if refused.details[0].field == "claim":
            return None, None, held, real  # nothing is to be changed
        expected: Any = refused.details[0]
    else:
        expected = claims.changed(real, source, id, patch, now, ours)
        if not isinstance(expected, claims.Wrong):
            assert not isinstance(one, fake.Wrong), one
            return None, None, fake.counted((one, *(each for each in held if each is not was))), expected
    return (tuple(one) if isinstance(one, fake.Wrong) else None), tuple(expected), held, real
