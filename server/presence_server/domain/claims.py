"""What is said of a user, by whose word, from when till when, and how much that word weighs.

A *claim* says a status, a text (words, an emoji, or both), or all of it. Its *source* is a name with a weight, which
the operator sets. The person's own word is the claims of the source `self`. A user's claims are kept in the order of
who wins: the heaviest first, and of equal weights the one that began last. So what is in force is found by one pass,
and whatever ends shows what is beneath by itself, whatever ended meanwhile.

What a person says (`say`) keeps three claims at most, of which each takes the place of the one before:

- A status without an end takes the place of all that was said before. What a person forgets ends by itself: it lapses
  after a time that the operator sets for each status.
- A status with an end lies on top of the one in force, if that outlasts it: who is invisible and says BUSY until three
  is invisible again at three. It is a stack of two: a further one takes the place of the one on top, which keeps an
  invisible user from being shown by the second of two short ones. The same status with another end is a correction,
  and not a second thing to go back to, unless the first was said without an end.
- The text stands apart, with an end of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Final, Literal, NamedTuple, TypeVar

from presence_server.domain.model import SELF, Claim, Source, Status

MAX_CLAIMS: Final = 64
"""Of one user, of all sources together; what is said by `say` comes on top."""

STATUS_ID: Final = "status"
TOP_ID: Final = "status-until"
TEXT_ID: Final = "text"
_SAID: Final = frozenset((STATUS_ID, TOP_ID, TEXT_ID))


class Leave(Enum):
    """Not said: as it is."""

    LEAVE = "leave"


LEAVE: Final = Leave.LEAVE
Left = Literal[Leave.LEAVE]

T = TypeVar("T")


class Word(NamedTuple):
    """What a person says. LEAVE leaves it as it is, None clears it; times are in seconds since 1970.

    A `status` with `until` left is said without an end.
    """

    status: Status | Left | None = LEAVE
    until: int | Left | None = LEAVE
    text: str | Left | None = LEAVE
    emoji: str | Left | None = LEAVE
    text_until: int | Left | None = LEAVE


class Patch(NamedTuple):
    """What to change of a claim. LEAVE leaves it as it is, None clears it."""

    status: Status | Left | None = LEAVE
    text: str | Left | None = LEAVE
    emoji: str | Left | None = LEAVE
    begins: int | Left | None = LEAVE
    until: int | Left | None = LEAVE
    alone: bool | Left | None = LEAVE


class Wrong(NamedTuple):
    """Why something was not done: the field of the request that it is about, and the reason."""

    field: str
    reason: str


class Rules(NamedTuple):
    """The operator's. `lifetimes`: seconds after which a status of `self` lapses that was said without an end."""

    self_source: Source = SELF
    lifetimes: Mapping[Status, int] = {}
    show_idle_since: bool = False


Claims = tuple[Claim, ...]


def is_own(claim: Claim) -> bool:
    """Whether it is the person's own word."""
    return claim.source.name == SELF.name


def is_in_force(claim: Claim, now: float) -> bool:
    """At `now`, in seconds since 1970. One without a `from` is in force from when it is said, whatever clocks do."""
    return (claim.until is None or now < claim.until) and (not claim.is_planned or claim.since <= now)


def own_status(claims: Claims, now: float) -> Claim | None:
    """The person's own word on their status that is in force, or None."""
    for claim in claims:
        if claim.status is not None and claim.source.name == SELF.name and is_in_force(claim, now):
            return claim
    return None


def own_text(claims: Claims, now: float) -> Claim | None:
    """The person's own text that is in force, or None."""
    return next((claim for claim in claims if claim.has_text and is_own(claim) and is_in_force(claim, now)), None)


def next_edge(claims: Claims, now: float) -> int | None:
    """When the next of `claims` begins or ends, in seconds since 1970; None: none ever does. Not after `now`: one has
    ended."""
    edge: int | None = None
    for claim in claims:
        at = claim.since if claim.is_planned and claim.since > now else claim.until
        if at is not None and (edge is None or at < edge):
            edge = at
    return edge


def has_edge(claims: Claims, now: float) -> bool:
    """Whether one of `claims` has begun or ended by `now` that was not seen to: see `settled`."""
    for claim in claims:
        if (claim.is_planned and claim.since <= now) or (claim.until is not None and claim.until <= now):
            return True
    return False


def settled(claims: Claims, now: float) -> Claims:
    """Without those that have ended by `now`. What has begun is waited for no more, should the clock be set back."""
    return tuple(
        claim._replace(is_planned=False) if claim.is_planned and claim.since <= now else claim
        for claim in claims
        if claim.until is None or now < claim.until
    )


def are_alike(some: Claims, others: Claims) -> bool:
    """Whether both say the same, whenever it was said."""
    return len(some) == len(others) and all(map(_is_alike, some, others))


def _is_alike(one: Claim, other: Claim) -> bool:
    return one[:2] == other[:2] and one[3:] == other[3:] and (one.since == other.since or not one.is_planned)


def ordered(claims: Iterable[Claim]) -> Claims:
    """In the order of who wins. Of claims that are equal in weight and beginning, the first given."""
    return tuple(sorted(claims, key=_standing))


def _standing(claim: Claim) -> tuple[int, int]:
    return -claim.source.weight, -claim.since


# -- the person's own word -------------------------------------------------------------------------------------------


def said(claims: Claims, word: Word | None, now: float, rules: Rules) -> Claims | Wrong:
    """The claims once a person has said `word`; None takes all back that they ever said."""
    if word is None:
        return tuple(claim for claim in claims if not is_own(claim))
    made: Claims | Wrong = claims
    if word.status is not LEAVE or word.until is not LEAVE:
        made = _said_status(claims, word, now, rules)
    if not isinstance(made, Wrong) and (word.text, word.emoji, word.text_until) != (LEAVE, LEAVE, LEAVE):
        made = _said_text(made, word, now, rules)
    return made


def said_simply(claims: Claims, word: Word, now: float, rules: Rules) -> Claims | None:
    """As `said`, for what is said most: a status and nothing else, or that there is none any more, by somebody of whom
    no more is claimed. None: it is more than that. A fifth of what `said` costs.
    """
    status = word[0]
    if status is LEAVE or word[1:] != _NOTHING_ELSE:
        return None
    since = second = int(now)
    if claims:
        held = claims[0]
        if (
            len(claims) > 1
            or held.id != STATUS_ID
            or held.source is not rules.self_source
            or held.text
            or held.emoji
            or held.is_planned
        ):
            return None
        since = max(since, held.since)
    if status is None:
        return ()
    lifetime = rules.lifetimes.get(status)
    until = second + lifetime if lifetime else None
    made = rules.self_source, STATUS_ID, since, until, status, None, None, False, False, True
    return (tuple.__new__(Claim, made),)


_NOTHING_ELSE: Final = (LEAVE, LEAVE, LEAVE, LEAVE)


def _said_status(claims: Claims, word: Word, now: float, rules: Rules) -> Claims | Wrong:
    held = [claim for claim in claims if claim.status is not None and is_own(claim) and is_in_force(claim, now)]
    status, until = word.status, None if word.until is LEAVE else word.until
    if until is not None and (status is None or (status is LEAVE and not held)):
        return Wrong("until", "means nothing without a status")
    if status is LEAVE:
        if not held:
            return claims  # an end is taken away that is not there
        status = held[0].status
        beneath = held[1:]
    elif until is not None:
        beneath = held[-1:]
        if len(held) == 1 and held[0].status is status and not held[0].lapses and held[0].until is not None:
            beneath = []
    else:
        beneath = []
    others = _without(claims, held, lambda claim: claim._replace(status=None))
    if status is None:
        return others
    lapses = until is None
    if until is None and (lifetime := rules.lifetimes.get(status)):
        until = int(now) + lifetime
    kept = [
        claim._replace(id=STATUS_ID, text=None, emoji=None)
        for claim in beneath
        if until is not None and (claim.until is None or claim.until > until)
    ]
    since = max((int(now), *(claim.since for claim in held)))  # also where the clock was set back in between
    new = Claim(rules.self_source, TOP_ID if kept else STATUS_ID, since, until, status, lapses=lapses)
    if not others and not kept:
        return (new,)  # which is most
    return ordered((new, *kept, *others))


def _said_text(claims: Claims, word: Word, now: float, rules: Rules) -> Claims | Wrong:
    held = [claim for claim in claims if claim.has_text and is_own(claim) and is_in_force(claim, now)]
    was = held[0] if held else None
    # What was said together with a status, as one claim, ends as that does.
    text = _left(word.text, was and was.text) or None
    emoji = _left(word.emoji, was and was.emoji) or None
    until = _left(word.text_until, was and was.until)
    if text is None and emoji is None and was is None and isinstance(word.text_until, int):
        return Wrong("textUntil", "means nothing without a statusText or statusEmoji")
    others = _without(claims, held, lambda claim: claim._replace(text=None, emoji=None))
    if text is None and emoji is None:
        return others
    since = max((int(now), *(claim.since for claim in held)))
    return ordered((Claim(rules.self_source, TEXT_ID, since, until, None, text, emoji), *others))


def _left(said: T | Left, was: T) -> T:
    return was if said is LEAVE else said


def _without(claims: Claims, taken: list[Claim], rest: Callable[[Claim], Claim]) -> Claims:
    """`claims` without what is `taken` of some of them; what nothing is left of goes."""
    if not taken:
        return claims
    left = (rest(claim) if any(claim is one for one in taken) else claim for claim in claims)
    return tuple(claim for claim in left if claim.status is not None or claim.has_text)


# -- what other sources say ------------------------------------------------------------------------------------------


def replaced(claims: Claims, source: Source, new: Claims, now: float, rules: Rules) -> Claims | Wrong:
    """The claims once all of `source` are `new`. One that says what it said before began when it did before."""
    before = {
        claim._replace(since=0): claim for claim in claims if claim.source.name == source.name and not claim.is_planned
    }
    kept = [before.get(claim._replace(since=0), claim) for claim in (_lapsing(one, now, rules) for one in new)]
    return _counted((*kept, *(claim for claim in claims if claim.source.name != source.name)))


def changed(claims: Claims, source: Source, id: str, patch: Patch, now: float, rules: Rules) -> Claims | Wrong:
    """The claims once that of `source` with `id` is changed, or added."""
    held = next((claim for claim in claims if claim.source.name == source.name and claim.id == id), None)
    was = held or Claim(source, id, int(now), None)
    begins = was.since if patch.begins is LEAVE else int(now) if patch.begins is None else patch.begins
    made = Claim(
        source,
        id,
        begins,
        _left(patch.until, None if was.lapses else was.until),
        _left(patch.status, was.status),
        _left(patch.text, was.text) or None,
        _left(patch.emoji, was.emoji) or None,
        is_planned=begins > now,
        alone=bool(_left(patch.alone, was.alone)),
    )
    if (wrong := flaw_of(made)) is not None:
        return wrong
    return _counted((_lapsing(made, now, rules), *(claim for claim in claims if claim is not held)))


def ended(claims: Claims, source: Source, id: str | None) -> Claims:
    """The claims once that of `source` with `id`, or None: all of `source`, are taken back."""
    return tuple(claim for claim in claims if claim.source.name != source.name or (id is not None and claim.id != id))


def flaw_of(claim: Claim) -> Wrong | None:
    """What is wrong with a claim that a back end makes, taken by itself; None: nothing."""
    if claim.status is None and not claim.has_text:
        return Wrong("status", "is required, unless there is a statusText or statusEmoji")
    if claim.until is None:
        return None if is_own(claim) else Wrong("until", "is required")
    if claim.until <= claim.since:
        return Wrong("until", "must be later than from")
    return None


def _lapsing(claim: Claim, now: float, rules: Rules) -> Claim:
    """A claim of `self` without an end gets the one that its status has."""
    if claim.until is None and claim.status is not None and (lifetime := rules.lifetimes.get(claim.status)):
        begins = max(int(now), claim.since) if claim.is_planned else int(now)
        return claim._replace(until=begins + lifetime, lapses=True)
    return claim


def _counted(claims: Claims) -> Claims | Wrong:
    many = sum(not (is_own(claim) and claim.id in _SAID) for claim in claims)
    if many > MAX_CLAIMS:
        return Wrong("claims", f"must be at most {MAX_CLAIMS} for one user, of all sources together")
    return ordered(claims)
