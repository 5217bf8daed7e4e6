"""The rules of claims once more, as short as they can be said: a list, everything computed anew each time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from presence_server.domain.claims import LEAVE, Word
from presence_server.domain.model import Claim, Platform, PublicState, Status


@dataclass(frozen=True)
class Said:
    source: str
    weight: int
    id: str
    since: float
    until: float | None
    status: Status | None = None
    text: str | None = None
    emoji: str | None = None
    is_planned: bool = False
    alone: bool = False
    lapses: bool = False
    order: float = 0.0

    def holds(self, now: float) -> bool:
        return (self.until is None or now < self.until) and (not self.is_planned or self.since <= now)


class NaiveClaims:
    """What is said of one user. `lifetimes`: after how many seconds a status of `self` lapses."""

    def __init__(self, lifetimes: Mapping[Status, int] = {}) -> None:
        self.lifetimes = lifetimes
        self.said: list[Said] = []
        self._order = 0

    def winner(self, said: list[Said], now: float) -> Said | None:
        holding = [each for each in said if each.holds(now)]
        return max(holding, key=lambda each: (each.weight, each.since, each.order), default=None)

    def own(self, now: float) -> Said | None:
        return self.winner([each for each in self.said if each.source == "self" and each.status], now)

    def public(self, there: Status | None, platforms: tuple[Platform, ...], now: float) -> PublicState:
        """`there`: the word of the devices, None without any."""
        by, own = self.winner([each for each in self.said if each.status and (there or each.alone)], now), self.own(now)
        if own is not None and own.status is Status.OFFLINE:
            by = own
        status = (by and by.status) or there or Status.OFFLINE
        is_there = there is not None and status is not Status.OFFLINE
        texts = [s for s in self.said if (s.text or s.emoji) and (is_there or s.alone or s.source == "self")]
        text = self.winner(texts, now)
        said = (text.text, text.emoji) if text else ()
        return PublicState(status, platforms if is_there else (), *said)

    def edges(self, now: float) -> list[float]:
        times = [s.since if s.is_planned and s.since > now else s.until for s in self.said]
        return [time for time in times if time is not None]

    def prune(self, now: float) -> None:
        left = [each for each in self.said if each.until is None or now < each.until]
        self.said = [replace(each, is_planned=each.is_planned and each.since > now) for each in left]

    def put(self, source: str, claims: list[Claim], now: float) -> None:
        held = {replace(s, since=0, order=0): s.since for s in self.said if s.source == source and not s.is_planned}
        self.end(source, None)
        for claim in reversed(claims):
            new = Said(claim.source.name, claim.source.weight, *claim[1:])
            if source == "self" and new.until is None and new.status and self.lifetimes.get(new.status):
                begins = max(int(now), new.since) if new.is_planned else int(now)
                new = replace(new, until=begins + self.lifetimes[new.status], lapses=True)
            self._add(replace(new, since=held.get(replace(new, since=0, order=0), new.since)))

    def end(self, source: str, id: str | None) -> None:
        self.said = [s for s in self.said if s.source != source or (id is not None and s.id != id)]

    def say(self, word: Word | None, now: float, weight: int = 50) -> None:
        if word is None:
            self.end("self", None)
            return
        if word.status is not LEAVE or isinstance(word.until, int):
            self._say_status(word, now, weight)
        if (word.text, word.emoji, word.text_until) != (LEAVE, LEAVE, LEAVE):
            self._say_text(word, now, weight)

    def _say_status(self, word: Word, now: float, weight: int) -> None:
        held = sorted(
            (s for s in self.said if s.source == "self" and s.status and s.holds(now)),
            key=lambda s: (s.since, s.order),
        )
        status, until = word.status, word.until if isinstance(word.until, int) else None
        since = max([int(now), *(s.since for s in held)])
        if status is LEAVE:
            status, beneath = held[-1].status, held[:-1][::-1]
        else:
            is_correction = len(held) == 1 and held[0].status is status and held[0].until and not held[0].lapses
            beneath = [] if is_correction else held[:1]
        self.said = [replace(s, status=None) if s in held else s for s in self.said]
        self.said = [s for s in self.said if s.status or s.text or s.emoji]
        if status is None:
            return
        lapses = until is None
        for kept in reversed([] if until is None else beneath):
            if kept.until is None or kept.until > until:
                self._add(replace(kept, id="status", text=None, emoji=None))
        if lapses and self.lifetimes.get(status):
            until = int(now) + self.lifetimes[status]
        self._add(Said("self", weight, "", since, until, status, lapses=lapses))

    def _say_text(self, word: Word, now: float, weight: int) -> None:
        held = [s for s in self.said if s.source == "self" and (s.text or s.emoji) and s.holds(now)]
        was = self.winner(held, now) or Said("self", weight, "", 0, None)
        text, emoji, until = (
            old if new is LEAVE else new
            for new, old in ((word.text, was.text), (word.emoji, was.emoji), (word.text_until, was.until))
        )
        self.said = [replace(s, text=None, emoji=None) if s in held else s for s in self.said]
        self.said = [s for s in self.said if s.status or s.text or s.emoji]
        if text or emoji:
            since = max([int(now), *(s.since for s in held)])
            self._add(Said("self", weight, "text", since, until, None, text or None, emoji or None))

    def _add(self, said: Said) -> None:
        self._order += 1
        self.said.append(replace(said, order=self._order))
