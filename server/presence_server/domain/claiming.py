"""Transitions of what is claimed of a user: by themselves or by a source, whether the user has come or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from presence_server.domain.causes import Cause
from presence_server.domain.claims import (
    Claims,
    Word,
    Wrong,
    are_alike,
    changed,
    ended,
    has_edge,
    is_own,
    replaced,
    said,
    said_simply,
)
from presence_server.domain.model import Status, UserRecord
from presence_server.domain.reasons import cause_of_claiming, cause_of_saying
from presence_server.domain.records import Records
from presence_server.domain.transitions import (
    NOTHING,
    REFUSED,
    AnyClaiming,
    ChangeClaim,
    EndClaims,
    Say,
    SetClaims,
    Transition,
)

_STATUS_SET: Final = Cause.STATUS_SET  # an enum's member costs 50 ns to look up
_STATUS_ENDED: Final = Cause.STATUS_ENDED


def say(records: Records, wanted: Say, now: float, utc: float) -> Transition:
    rules = records.shared.rules
    record = records.users.get(wanted.user_id)
    if record is not None and wanted.word is not None and record.has_come:
        claims = said_simply(record.claims, wanted.word, utc, rules)
        if claims is not None:
            held = record.claims
            truth_changed = claims[0][3:] != held[0][3:] if claims and held else claims is not held
            records.hold(record, claims, utc)
            cause = _STATUS_SET if claims else _STATUS_ENDED
            return records.conclude(record, utc, cause, truth_changed=truth_changed)
    return _claim(records, wanted, wanted.word is not None, lambda held: said(held, wanted.word, utc, rules), now, utc)


def set_claims(records: Records, wanted: SetClaims, now: float, utc: float) -> Transition:
    rules = records.shared.rules

    def put(held: Claims) -> Claims | Wrong:
        return replaced(held, wanted.source, wanted.claims, utc, rules)

    return _claim(records, wanted, bool(wanted.claims), put, now, utc)


def change_claim(records: Records, wanted: ChangeClaim, now: float, utc: float) -> Transition:
    rules = records.shared.rules

    def change(held: Claims) -> Claims | Wrong:
        return changed(held, wanted.source, wanted.id, wanted.patch, utc, rules)

    return _claim(records, wanted, True, change, now, utc)


def end_claims(records: Records, wanted: EndClaims, now: float, utc: float) -> Transition:
    return _claim(records, wanted, False, lambda held: ended(held, wanted.source, wanted.id), now, utc)


def come_saying(records: Records, record: UserRecord, status: Status, utc: float) -> None:
    """A device that comes says a status with it; what may not be said is not."""
    made = said(record.claims, Word(status), utc, records.shared.rules)
    if not isinstance(made, Wrong):
        records.hold(record, made, utc)


def fade(records: Records, record: UserRecord, utc: float) -> Transition:
    """Take back all that is claimed of `record`, of which there is no room or time to keep it longer."""
    cause = Cause.STATUS_ENDED if any(map(is_own, record.claims)) else Cause.CLAIM_ENDED
    records.shared.unseen.discard(record.user_id)
    records.hold(record, (), utc)
    return records.conclude(record, utc, cause)


def _claim(
    records: Records,
    wanted: AnyClaiming,
    is_more: bool,
    make: Callable[[Claims], Claims | Wrong],
    now: float,
    utc: float,
) -> Transition:
    """What is claimed of the user becomes what `make` makes of it. `is_more`: that may be the first claim."""
    record = records.users.get(wanted.user_id)
    is_new = record is None or not (record.claims or record.has_come)
    if is_new and is_more and records.shared.unseen.is_full:
        return REFUSED
    held = () if record is None else record.claims
    claims = make(held)
    if isinstance(claims, Wrong):
        return Transition(wrong=claims)
    if record is None:
        if not claims:
            return NOTHING
        record = records.ensure(wanted.user_id)
    truth_changed = not are_alike(claims, held)
    records.hold(record, claims, utc)
    if not record.has_come:
        if claims:
            records.shared.strangers.discard(record.user_id)
            records.shared.unseen.keep(record, now)
        else:
            records.shared.unseen.discard(record.user_id)
    if isinstance(wanted, Say):
        cause = cause_of_saying(wanted.word)
    else:
        cause = cause_of_claiming(wanted.source, held, claims, utc)
    return records.conclude(record, utc, cause, truth_changed=truth_changed)


def reach_edge(records: Records, record: UserRecord, utc: float) -> Transition:
    """A claim of the user was to begin or end by now."""
    if records.users.get(record.user_id) is not record:
        return NOTHING  # forgotten by what fell due a moment before
    if has_edge(record.claims, utc):
        return records.conclude(record, utc, Cause.CLAIM_ENDED)  # or whichever it turns out to be
    records.hold(record, record.claims, utc)
    return NOTHING
