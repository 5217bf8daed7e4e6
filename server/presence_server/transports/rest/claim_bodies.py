"""The bodies that tell of claims: what they may hold, and the domain's claims that come of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from presence_protocol import fields
from presence_protocol.errors import FieldError
from presence_protocol.fields import Field, find_errors, parse_time
from presence_server.application.words import check_ahead, check_until
from presence_server.domain.claims import LEAVE, MAX_CLAIMS, Left, Patch, flaw_of
from presence_server.domain.model import Claim, Source, Status
from presence_server.transports.rest.envelope import Refusal

_CLAIM: Final = {
    "id": Field(fields.claim_id),
    "status": Field(fields.status),
    "statusText": Field(fields.status_text),
    "statusEmoji": Field(fields.status_emoji),
    "from": Field(fields.timestamp),
    "until": Field(fields.timestamp),
    "alone": Field(fields.boolean),
}
_PATCH: Final = _CLAIM | {"id": Field(fields.claim_id, required=True, nullable=False)}


def claims_of(raw: Mapping[str, Any], source: Source, utc: float) -> tuple[Claim, ...]:
    """The claims in `raw["claims"]`, said at `utc` (seconds since 1970).

    Raises:
        Refusal: 400, with each wrong field.
    """
    given = raw.get("claims")
    if type(given) is not list:
        raise Refusal(400, [FieldError("claims", "is required" if given is None else "must be a list")])
    if len(given) > MAX_CLAIMS:
        raise Refusal(400, [FieldError("claims", f"must be at most {MAX_CLAIMS}")])
    errors: list[FieldError] = []
    claims: list[Claim] = []
    first_with: dict[str, int] = {}
    for index, item in enumerate(given):
        where = f"claims[{index}]"
        if type(item) is not dict:
            errors.append(FieldError(where, "must be an object"))
            continue
        found = find_errors(item, _CLAIM)
        if not found:
            claim = _claim_of(item, source, utc)
            found = _errors_of(claim, utc)
            if claim.id and (first := first_with.setdefault(claim.id, index)) != index:
                found.append(FieldError("id", f"must not be that of claims[{first}] as well"))
            claims.append(claim)
        errors += [FieldError(f"{where}.{field}", reason) for field, reason in found]
        if len(errors) >= fields.MAX_DETAILS:
            break
    if errors:
        raise Refusal(400, errors[: fields.MAX_DETAILS])
    return tuple(claims)


def patch_of(raw: Mapping[str, Any], utc: float) -> tuple[str, Patch]:
    """The id of a claim, and what to change of it.

    Raises:
        Refusal: 400, with each wrong field.
    """
    if errors := find_errors(raw, _PATCH):
        raise Refusal(400, errors)
    if not any(name in raw for name in _CLAIM if name != "id"):
        names = ", ".join(name for name in _CLAIM if name != "id")
        raise Refusal(400, [FieldError("claim", f"needs at least one of {names}")])
    status = raw.get("status", LEAVE)
    patch = Patch(
        Status(status) if isinstance(status, str) else status,
        raw.get("statusText", LEAVE),
        raw.get("statusEmoji", LEAVE),
        _seconds(raw, "from"),
        _seconds(raw, "until"),
        raw.get("alone", LEAVE),
    )
    if errors := _time_errors(patch.begins, patch.until, utc):
        raise Refusal(400, errors)
    return raw["id"], patch


def _claim_of(raw: Mapping[str, Any], source: Source, utc: float) -> Claim:
    begins, until, status = (raw.get(name) for name in ("from", "until", "status"))
    return Claim(
        source,
        raw.get("id") or "",
        int(utc) if begins is None else parse_time(begins) or 0,
        None if until is None else parse_time(until),
        None if status is None else Status(status),
        raw.get("statusText") or None,
        raw.get("statusEmoji") or None,
        is_planned=begins is not None and (parse_time(begins) or 0) > utc,
        alone=raw.get("alone") or False,
    )


def _errors_of(claim: Claim, utc: float) -> list[FieldError]:
    errors = _time_errors(claim.since, claim.until, utc)
    flaw = flaw_of(claim)
    if flaw is not None and not (errors and flaw.field == "until"):
        errors.append(FieldError(*flaw))
    return errors


def _time_errors(begins: int | Left | None, until: int | Left | None, utc: float) -> list[FieldError]:
    errors = []
    if isinstance(begins, int) and (reason := check_ahead(begins, utc)) is not None:
        errors.append(FieldError("from", reason))
    if isinstance(until, int) and (reason := check_until(until, utc)) is not None:
        errors.append(FieldError("until", reason))
    return errors


def _seconds(raw: Mapping[str, Any], name: str) -> int | Left | None:
    given = raw.get(name, LEAVE)
    return parse_time(given) if isinstance(given, str) else given
