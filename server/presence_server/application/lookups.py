"""Asking once, without watching: what the engine knows, as far as the asker may see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from presence_server.application.entries import unknown
from presence_server.application.ports import Engine
from presence_server.application.sight import Sight
from presence_server.domain.model import Shown, UserKey

Found = Callable[[list[Shown] | None], None]
"""Takes what was found of each user, in the order asked for; None if it cannot be had now."""


def look_up(
    engine: Engine, sight: Sight, viewer: UserKey | None, user_ids: list[UserKey], now: float, done: Found
) -> None:
    """What `viewer` may ask of each of `user_ids`: whom one may not see looks never heard of."""
    visible = sight.seen(viewer, user_ids)
    if visible is user_ids:
        engine.lookup(user_ids, now, done)
    else:
        engine.lookup(visible, now, partial(_with_unknown, user_ids, done))


def _with_unknown(user_ids: Sequence[UserKey], done: Found, found: list[Shown] | None) -> None:
    """Put the users who may not be seen back in their places."""
    if found is None:
        done(None)
        return
    known = {shown.presence.user_id: shown for shown in found}
    done([known.get(user_id) or Shown(unknown(user_id), None, ()) for user_id in user_ids])
