"""One sentence why a user is shown as they are, in English and Chinese, and the data behind it. Pure.

It says what nobody else may know, such as that somebody is invisible: who asks was looked at before.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any, Final, NamedTuple

from msgspec import to_builtins

from presence_protocol.fields import format_time
from presence_protocol.user_ids import UserId
from presence_server.application.entries import deciding
from presence_server.domain.account import Account, Noted
from presence_server.domain.aggregate import Verdict, decide
from presence_server.domain.causes import Cause
from presence_server.domain.claims import is_own
from presence_server.domain.model import GRACE, REST, DeviceView, Status
from presence_server.domain.platforms import Platform

HOLDERS: Final = {GRACE: "grace", REST: "rest"}

_ZH: Final = {Status.ONLINE: "在线", Status.AWAY: "离开", Status.BUSY: "忙碌", Status.OFFLINE: "离线"}


class Times(NamedTuple):
    """Seconds: for how long a silent connection is kept (ping, pong and grace), grace alone, and a REST device."""

    silence: float
    grace: float
    rest: float


class Sentence(NamedTuple):
    en: str
    zh: str


def explain(
    user_id: UserId,
    account: Account,
    heard_at: Callable[[int], float | None],
    times: Times,
    now: float,
) -> dict[str, Any]:
    """The data of `GET /explain/{userId}`. `heard_at`: when a connection was heard last, by the clock of `now`."""
    verdict, coming = account.verdict(), account.next(now)
    status, by, text_by, _ = verdict
    next_told = None
    if coming is not None:
        at, then, ended = coming
        next_told = {"time": format_time(ceil(at)), "status": then.status.value, "statusBy": _by(then, ended)}
    return {
        "userId": user_id,
        "status": status.value,
        "sentence": _sentence(user_id, account, verdict, next_told)._asdict(),
        "statusBy": _by(verdict),
        "until": None if by is None or by.until is None else format_time(by.until),
        "textBy": None if text_by is None else to_builtins(deciding(text_by, with_text=True)),
        "next": next_told,
        "devices": device_views(account, heard_at, times, now),
        "lastActiveTime": None if account.last_active is None else format_time(account.last_active),
        "changes": [_change(noted) for noted in account.changes],
    }


def device_views(
    account: Account, heard_at: Callable[[int], float | None], times: Times, now: float
) -> list[dict[str, Any]]:
    """Each device as services are told of it: who holds it, since when it is online, when it was heard, when it lapses
    unless it is heard again. Arguments as of `explain`."""
    utc = account.truth.utc
    devices = []
    for device, due in zip(account.truth.devices, account.due, strict=True):
        heard = heard_at(device.holder) if device.holder > 0 else None
        if due is not None:
            heard = due - (times.rest if device.holder == REST else times.grace)
            lapses = due
        else:
            lapses = (now if heard is None else heard) + times.silence
        devices.append(
            {
                "deviceId": device.device_id,
                "platform": device.platform.value,
                "onlineTime": format_time(device.online_time),
                "idle": device.idle is not None,
                "busy": device.busy,
                "holder": HOLDERS.get(device.holder, "connection"),
                "lastHeard": format_time(int(utc + min(0.0, 0.0 if heard is None else heard - now))),
                "lapsesAt": format_time(ceil(utc + max(0.0, lapses - now))),
            }
        )
    return devices


def _by(verdict: Verdict, ended: DeviceView | None = None) -> dict[str, Any]:
    """Whose word it is. `ended`: the device whose end brings it, if one's does."""
    if verdict.by is not None:
        told: dict[str, Any] = to_builtins(deciding(verdict.by))
        return told
    # Whoever has a device is not OFFLINE, unless a claim says so.
    source = {"source": "nothing" if verdict.status is Status.OFFLINE else "devices"}
    if ended is None:
        return source
    return source | {"cause": (Cause.HEARTBEAT_MISSED if ended.holder == REST else Cause.GRACE_OVER).value}


def _change(noted: Noted) -> dict[str, Any]:
    change = noted.change
    return {
        "time": format_time(noted.time),
        "before": change.before.status.value,
        "after": change.after.status.value,
        "platforms": [platform.value for platform in change.after.platforms],
        "cause": change.cause.value,
        "version": change.version,
    } | (
        {} if change.by is None else {"device": {"deviceId": change.by.device_id, "platform": change.by.platform.value}}
    )


def _sentence(user_id: UserId, account: Account, verdict: Verdict, coming: dict[str, Any] | None) -> Sentence:
    status, by, devices = verdict.status, verdict.by, account.truth.devices
    en, zh = f"{user_id} is {status}", f"{user_id} {_ZH[status]}"
    if by is not None:
        until = None if by.until is None else format_time(by.until)
        for_en = f"until {until}" if until else "with no end"
        for_zh = f"至 {until}" if until else "无期限"
        if is_own(by) and by.status is Status.OFFLINE:
            en = f"{user_id} is invisible, as they said, {for_en}"
            zh = f"{user_id} 隐身（本人所设，{for_zh}）"
        else:
            en += f" {for_en}: {'they said so' if is_own(by) else f'the source {by.source.name} says so'}"
            zh += f"（{for_zh}）：{'本人所设' if is_own(by) else f'来源 {by.source.name} 所设'}"
    elif not devices:
        en += ": no device is online"
        zh += "：没有设备在线"
        waits = decide(account.truth.claims, (_ANY,), account.truth.utc).by
        if waits is not None and waits.status is not None:
            source = waits.source.name
            whose = ("they said", "本人所设") if is_own(waits) else (f"{source} says", f"{source} 所设")
            en += f"; {waits.status}, which {whose[0]}, shows once one is"
            zh += f"；{whose[1]}的{_ZH[waits.status]}待设备上线后显示"
    else:
        busy, active = sum(device.busy for device in devices), sum(device.idle is None for device in devices)
        many = f"{len(devices)} device{'s' if len(devices) > 1 else ''}"
        en += f": {busy} of {many} busy" if busy else f": {active} of {many} active"
        zh += f"：{len(devices)} 台设备中 {busy or active} 台{'忙碌' if busy else '活跃'}"
    if coming is not None:
        en += f"; then {coming['status']} at {coming['time']}"
        zh += f"；{coming['time']} 起{_ZH[Status(coming['status'])]}"
    return Sentence(en + ".", zh + "。")


_ANY: Final = DeviceView("", Platform.WEB, 0, 0, 0, 0, 0.0, False)
"""Stands for a device that may come."""
