"""What is said of the users of the fake server: the rules of claims, as docs/protocol.md has them. Pure.

A user's claims are a tuple in the order of who wins. Times are whole seconds since 1970. A property test holds these
rules to the real server's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from msgspec import UNSET

from presence_protocol.fields import parse_time
from presence_protocol.limits import MAX_UNTIL_AHEAD
from presence_protocol.messages import SetStatus, StatusName

SELF: Final = "self"
MAX_CLAIMS: Final = 64
SOURCES: Final[Mapping[str, int]] = {"call": 80, SELF: 50, "calendar": 40, "hours": 10}
LIFETIMES: Final[Mapping[str, int]] = {"BUSY": 86_400, "AWAY": 604_800, "ONLINE": 604_800, "OFFLINE": 0}
_SAID: Final = ("status", "status-until", "text")


class Held(NamedTuple):
    """One claim. `is_planned`: it waits for `since`. `lapses`: its end is the server's, nobody asked for it."""

    source: str
    weight: int
    id: str
    since: int
    until: int | None
    status: StatusName | None = None
    text: str | None = None
    emoji: str | None = None
    is_planned: bool = False
    alone: bool = False
    lapses: bool = False

    @property
    def has_text(self) -> bool:
        return self.text is not None or self.emoji is not None

    def is_in_force(self, now: float) -> bool:
        return (self.until is None or now < self.until) and (not self.is_planned or self.since <= now)


Stack = tuple[Held, ...]


class Rules(NamedTuple):
    """Weights by source, and seconds by status after which the person's own word lapses (0: never)."""

    sources: Mapping[str, int] = SOURCES
    lifetimes: Mapping[str, int] = LIFETIMES


class Wrong(NamedTuple):
    """Why something was not done: the field that it is about, and the reason."""

    field: str
    reason: str


class Verdict(NamedTuple):
    """The status, the claim that decides it (None: the devices do), and the claim whose text shows (None: none)."""

    status: StatusName
    by: Held | None
    text_by: Held | None


def decide(stack: Stack, devices: StatusName | None, now: float) -> Verdict:
    """Who wins. `devices`: what they say; None: there are none."""
    saying = [claim for claim in stack if claim.status is not None and claim.is_in_force(now)]
    own = next((claim for claim in saying if claim.source == SELF), None)
    by = next((claim for claim in saying if devices is not None or claim.alone), None)
    if own is not None and own.status == "OFFLINE":
        by = own
    status = (by and by.status) or devices or "OFFLINE"
    is_there = devices is not None and status != "OFFLINE"
    texts = (claim for claim in stack if claim.has_text and claim.is_in_force(now))
    return Verdict(
        status, by, next((claim for claim in texts if is_there or claim.alone or claim.source == SELF), None)
    )


def own_status(stack: Stack, now: float) -> Held | None:
    """The person's own word on their status that is in force."""
    return next((one for one in stack if one.status and one.source == SELF and one.is_in_force(now)), None)


def own_text(stack: Stack, now: float) -> Held | None:
    """The person's own text that is in force."""
    return next((one for one in stack if one.has_text and one.source == SELF and one.is_in_force(now)), None)


def next_edge(stack: Stack, now: float) -> int | None:
    """When the next claim begins or ends."""
    edges = (claim.since if claim.is_planned and claim.since > now else claim.until for claim in stack)
    return min((edge for edge in edges if edge is not None), default=None)


def settled(stack: Stack, now: float) -> Stack:
    """Without those that have ended."""
    return tuple(
        claim._replace(is_planned=claim.is_planned and claim.since > now)
        for claim in stack
        if claim.until is None or now < claim.until
    )


def ordered(claims: Iterable[Held]) -> Stack:
    return tuple(sorted(claims, key=lambda claim: (-claim.weight, -claim.since)))


# -- the person's own word -------------------------------------------------------------------------------------------


def said(stack: Stack, message: SetStatus, now: float, rules: Rules) -> Stack | Wrong:
    """The stack once the person has said `message`; what it leaves out stays as it is."""
    for field, given in (("until", message.until), ("textUntil", message.text_until)):
        if isinstance(given, str) and (reason := late(parse_time(given) or 0, now)) is not None:
            return Wrong(field, reason)
    made: Stack | Wrong = stack
    if message.status is not UNSET or message.until is not UNSET:
        made = _said_status(stack, message, now, rules)
    if not isinstance(made, Wrong) and not all(
        each is UNSET for each in (message.status_text, message.status_emoji, message.text_until)
    ):
        made = _said_text(made, message, now, rules)
    return made


def taken_back(stack: Stack) -> Stack:
    """The stack once the person has taken all back that they ever said."""
    return tuple(claim for claim in stack if claim.source != SELF)


def _said_status(stack: Stack, message: SetStatus, now: float, rules: Rules) -> Stack | Wrong:
    held = [claim for claim in stack if claim.status is not None and claim.source == SELF and claim.is_in_force(now)]
    status = message.status
    until = parse_time(message.until) if isinstance(message.until, str) else None
    beneath: list[Held] = []
    if until is not None and (status is None or (status is UNSET and not held)):
        return Wrong("until", "means nothing without a status")
    if status is UNSET:
        if not held:
            return stack
        status, beneath = held[0].status, held[1:]
    elif until is not None:
        beneath = held[-1:]
        if len(held) == 1 and held[0].status == status and not held[0].lapses and held[0].until is not None:
            beneath = []  # a correction
    others = _without(stack, held, lambda claim: claim._replace(status=None))
    if status is None:
        return others
    lapses = until is None
    if until is None and (lifetime := rules.lifetimes.get(str(status), 0)):
        until = int(now) + lifetime
    kept = [
        claim._replace(id="status", text=None, emoji=None)
        for claim in beneath
        if until is not None and (claim.until is None or claim.until > until)
    ]
    since = max(int(now), *(claim.since for claim in held)) if held else int(now)
    name = "status-until" if kept else "status"
    new = Held(SELF, rules.sources[SELF], name, since, until, status, lapses=lapses)
    return ordered((new, *kept, *others))


def _said_text(stack: Stack, message: SetStatus, now: float, rules: Rules) -> Stack | Wrong:
    held = [claim for claim in stack if claim.has_text and claim.source == SELF and claim.is_in_force(now)]
    was = held[0] if held else None
    text = (was and was.text) if message.status_text is UNSET else message.status_text or None
    emoji = (was and was.emoji) if message.status_emoji is UNSET else message.status_emoji or None
    until = was and was.until
    if message.text_until is not UNSET:
        until = None if message.text_until is None else parse_time(message.text_until)
        if text is None and emoji is None and was is None and until is not None:
            return Wrong("textUntil", "means nothing without a statusText or statusEmoji")
    others = _without(stack, held, lambda claim: claim._replace(text=None, emoji=None))
    if text is None and emoji is None:
        return others
    since = max(int(now), *(claim.since for claim in held)) if held else int(now)
    return ordered((Held(SELF, rules.sources[SELF], "text", since, until, None, text, emoji), *others))


def _without(stack: Stack, taken: list[Held], rest: Callable[[Held], Held]) -> Stack:
    left = (rest(claim) if any(claim is one for one in taken) else claim for claim in stack)
    return tuple(claim for claim in left if claim.status is not None or claim.has_text)


# -- what other sources say ------------------------------------------------------------------------------------------


def held_of(raw: Mapping[str, Any], source: str, now: float, rules: Rules, was: Held | None = None) -> Held | Wrong:
    """The claim that a body makes, or what it makes of the one there `was`. Each field is right by itself."""
    was = was or Held(source, rules.sources[source], raw.get("id") or "", int(now), None)
    begins, until = raw.get("from", UNSET), raw.get("until", UNSET)
    since = was.since if begins is UNSET else int(now) if begins is None else parse_time(begins) or 0
    made = was._replace(
        since=since,
        until=(None if was.lapses else was.until) if until is UNSET else until and parse_time(until),
        status=raw.get("status", was.status),
        text=raw.get("statusText", was.text) or None,
        emoji=raw.get("statusEmoji", was.emoji) or None,
        alone=bool(raw.get("alone", was.alone)),
        is_planned=since > now,
        lapses=False,
    )
    if isinstance(begins, str) and since > now + MAX_UNTIL_AHEAD:
        return Wrong("from", "must be at most a year ahead")
    if isinstance(until, str) and made.until is not None and (reason := late(made.until, now)) is not None:
        return Wrong("until", reason)
    if made.status is None and not made.has_text:
        return Wrong("status", "is required, unless there is a statusText or statusEmoji")
    if made.until is None and source != SELF:
        return Wrong("until", "is required")
    if made.until is not None and made.until <= made.since:
        return Wrong("until", "must be later than from")
    if made.until is None and (lifetime := rules.lifetimes.get(made.status or "", 0)):
        return made._replace(until=max(int(now), made.since if made.is_planned else 0) + lifetime, lapses=True)
    return made


def replaced(stack: Stack, source: str, new: Iterable[Held]) -> Stack | Wrong:
    """The stack once all claims of `source` are `new`. One that says what it said before began when it did before."""
    before = {one._replace(since=0): one for one in stack if one.source == source and not one.is_planned}
    kept = [before.get(one._replace(since=0), one) for one in new]
    return counted((*kept, *(claim for claim in stack if claim.source != source)))


def counted(claims: Iterable[Held]) -> Stack | Wrong:
    """In order; or refused, since there are too many."""
    made = ordered(claims)
    if sum(not (claim.source == SELF and claim.id in _SAID) for claim in made) > MAX_CLAIMS:
        return Wrong("claims", f"must be at most {MAX_CLAIMS} for one user, of all sources together")
    return made


def late(until: int, now: float) -> str | None:
    """The reason why nothing can end at `until`, or None."""
    if until <= now:
        return "must be later than now"
    return "must be at most a year ahead" if until > now + MAX_UNTIL_AHEAD else None
