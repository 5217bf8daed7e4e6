"""`presence-client explain`: why users are shown as they are, each in one sentence and the data behind it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from presence_client.answers import ExplainedChange, ExplainedDevice, Explanation
from presence_client.api import PresenceApi
from presence_client.commands.console import say
from presence_client.commands.reach import Reach
from presence_protocol.text import cleaned
from presence_protocol.user_ids import UserId, told_in_json


async def run(reach: Reach, user_ids: Sequence[UserId], language: str, *, is_json: bool) -> int:
    """Returns the exit code. `language`: `en` or `zh`.

    Raises:
        PresenceError: the server could not be asked, or refused.
    """
    async with PresenceApi(**reach._asdict()) as api:
        for user_id in user_ids:
            found = await api.explain(user_id)
            if is_json:
                say(json.dumps(msgspec.to_builtins(found, enc_hook=told_in_json), ensure_ascii=False))
            else:
                for line in lines_of(found, language):
                    say(line)
    return 0


def lines_of(found: Explanation, language: str) -> list[str]:
    """The sentence, then a line for each device and each change."""
    lines = [cleaned(found.sentence.get(language, ""))]
    lines += [f"  {device_line(device)}" for device in found.devices]
    lines += [f"  {_change(change)}" for change in found.changes]
    return lines


def device_line(device: ExplainedDevice) -> str:
    """A device, who holds it, and when it was heard."""
    idle = "busy" if device.busy else "idle" if device.idle else "active"
    words = f"{device.device_id} ({device.platform}) {idle}, {device.holder}"
    return cleaned(f"{words}, heard {device.last_heard}, lapses {device.lapses_at}")


def _change(change: ExplainedChange) -> str:
    return cleaned(f"{change.time}  {change.before} -> {change.after}  {change.cause}")
