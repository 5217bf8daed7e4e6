"""What a back end claims of a user: the arguments of `PresenceApi`, checked and turned into what goes over the wire."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from presence_client.values import Time, until_of
from presence_protocol import fields
from presence_protocol.messages import StatusName


class Claim(msgspec.Struct, kw_only=True, frozen=True):
    """What a source says of a user: a status, a text, an emoji, from when till when.

        Claim(status="BUSY", text="Standup", begins=nine, until=quarter_past, id="standup@example.org")

    `begins`, `until`: a time with a zone, a duration from now, or RFC 3339. `begins` None: at once. `until` is needed,
    but for the source `self`, whose words end by themselves. `id`: the source's own name for it, by which it is changed
    and ended. `alone`: it shows also while the user has no device.
    """

    status: StatusName | None = None
    text: str | None = None
    emoji: str | None = None
    begins: Time = None
    until: Time = None
    id: str | None = None
    alone: bool = False

    @property
    def lasts(self) -> tuple[Time, Time]:
        """`begins` and `until`, as they were given."""
        return self.begins, self.until


_WIRE = {
    "status": ("status", fields.status),
    "text": ("statusText", fields.status_text),
    "emoji": ("statusEmoji", fields.status_emoji),
    "id": ("id", fields.claim_id),
    "alone": ("alone", fields.boolean),
}
_TIMES = {"begins": "from", "until": "until"}


def claims_body(claims: Iterable[Claim], now: float) -> list[dict[str, Any]]:
    """Claims as they go over the wire. `now`: for durations, in seconds since 1970.

    Raises:
        ValueError: one of them cannot be right; `claims[3].text ...` says which field, and why.
    """
    bodies = []
    for index, claim in enumerate(claims):
        if not isinstance(claim, Claim):
            raise ValueError(f"claims[{index}] must be a Claim, not {claim!r}")
        said = {name: getattr(claim, name) for name in claim.__struct_fields__}
        body = _body(
            {name: UNSET if value is None else value for name, value in said.items()}, now, f"claims[{index}]."
        )
        if not claim.alone:
            del body["alone"]
        bodies.append(body)
    return bodies


def patch_body(id: str, said: Mapping[str, Any], now: float) -> dict[str, Any]:
    """What changes of the claim `id`: UNSET is left out, None clears.

    Raises:
        ValueError: an argument cannot be right, or nothing is to be changed.
    """
    if all(value is UNSET for value in said.values()):
        raise ValueError(f"one of {', '.join(said)} is needed")
    return _body({"id": id, **said}, now, "")


def _body(said: Mapping[str, Any], now: float, where: str) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for name, value in said.items():
        if value is UNSET:
            continue
        if name in _TIMES:
            try:
                body[_TIMES[name]] = until_of(value, now)
            except ValueError as failure:
                raise ValueError(f"{where}{str(failure).replace('until', name, 1)}") from None
            continue
        wire, rule = _WIRE[name]
        if value is not None and (reason := rule(value)) is not None:
            raise ValueError(f"{where}{name} {reason}")
        body[wire] = value
    return body
