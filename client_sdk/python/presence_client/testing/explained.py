"""Why a user of the fake server is shown as they are: what `GET /explain` and `GET /claims` tell of it."""

from __future__ import annotations

from typing import Any

from presence_client.testing.claims import SELF, Held, Verdict, decide, next_edge, settled
from presence_client.testing.users import Device, Users, time_of, without_none
from presence_protocol.fields import format_time
from presence_protocol.user_ids import UserId

_ZH = {"ONLINE": "在线", "AWAY": "离开", "BUSY": "忙碌", "OFFLINE": "离线"}
_KEPT = 75
"""Seconds that a device is said to be kept for. None lapses here."""


def standing(verdict: Verdict) -> dict[str, Any]:
    """What claims and devices come to, and which of them decides."""
    status, _, text_by = verdict
    told: dict[str, Any] = {"status": status}
    if text_by is not None:
        told |= without_none({"statusText": text_by.text, "statusEmoji": text_by.emoji})
    told["statusBy"] = _by(verdict, "devices")
    told["textBy"] = None
    if text_by is not None:
        told["textBy"] = _named(text_by)
    return told


def _by(verdict: Verdict, nobody: str) -> dict[str, Any]:
    by = verdict.by
    if by is None:
        return {"source": nobody}
    return _named(by)


def _named(claim: Held) -> dict[str, Any]:
    return without_none({"source": claim.source, "id": claim.id or None, "until": time_of(claim.until)})


def device_told(device: Device, now: float) -> dict[str, Any]:
    """A device as back ends are told of it."""
    return {
        "deviceId": device.device_id,
        "platform": device.platform,
        "onlineTime": format_time(device.online_time),
        "idle": device.idle_since is not None,
        "busy": device.busy,
        "holder": device.holder,
        "lastHeard": format_time(int(now)),
        "lapsesAt": format_time(int(now) + _KEPT),
    }


def explain(user_id: UserId, users: Users) -> dict[str, Any]:
    """The data of `GET /explain`. Its sentence is shorter than the real one's."""
    user, now = users.user(user_id), users.clock()
    verdict, left, at = user.verdict(now), settled(user.stack, now), now
    coming = None
    while coming is None and (edge := next_edge(left, at)) is not None:
        at, left = edge, settled(left, edge)
        after = decide(left, user.word(), at)
        if after.status != verdict.status or after.by != verdict.by:
            coming = {"time": format_time(edge), "status": after.status, "statusBy": _by(after, "devices")}
    until = None if verdict.by is None else time_of(verdict.by.until)
    told = standing(verdict)
    return {
        "userId": user_id,
        "status": verdict.status,
        "sentence": _sentence(user_id, verdict, until),
        "statusBy": _by(verdict, "devices" if user.devices else "nothing"),
        "until": until,
        "textBy": told["textBy"],
        "next": coming,
        "devices": [device_told(device, now) for device in user.devices.values()],
        "lastActiveTime": users.entry(user_id).last_active_time,
        "changes": [
            {
                "time": format_time(one.at // 1000),
                "before": one.before.status,
                "after": one.entry.status,
                "platforms": one.entry.platforms,
                "cause": one.cause,
                "version": one.entry.version,
            }
            for one in reversed(users.happened)
            if one.entry.user_id == user_id
        ],
    }


def _sentence(user_id: UserId, verdict: Verdict, until: str | None) -> dict[str, str]:
    en, zh = f"{user_id} is {verdict.status}", f"{user_id} {_ZH[verdict.status]}"
    if (by := verdict.by) is not None:
        en += f" {f'until {until}' if until else 'with no end'}"
        en += ": they said so" if by.source == SELF else f": the source {by.source} says so"
        zh += f"（{f'至 {until}' if until else '无期限'}）"
        zh += "：本人所设" if by.source == SELF else f"：来源 {by.source} 所设"
    return {"en": f"{en}.", "zh": f"{zh}。"}
