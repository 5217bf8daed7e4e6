"""Asking once, without watching: what the engine knows, as far as the asker may see it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from presence_server.application.ports import Clock, Engine
from presence_server.application.sight import Sight
from presence_server.domain.lenses import Lens, key_of, shown_through, topic_of
from presence_server.domain.model import Shown, UserKey

Found = Callable[[list[Shown] | None], None]
"""Takes what was found of each user, in the order asked for; None if it cannot be had now."""


def look_up(
    engine: Engine,
    clock: Clock,
    sight: Sight,
    viewer: UserKey,
    user_ids: list[UserKey],
    now: float,
    done: Found,
    with_devices: bool = False,
) -> None:
    """What `viewer` may ask of each of `user_ids`: whom one may not see looks never heard of."""
    if not viewer:
        engine.lookup(user_ids, now, done, with_devices)
    elif sight.is_open:
        engine.lookup(user_ids, now, partial(_through, engine, clock, sight, viewer, done), with_devices)
    else:
        ask = partial(_learned, engine, clock, sight, viewer, user_ids, now, done, with_devices)
        sight.learn(viewer, user_ids, now, ask)


def _learned(
    engine: Engine,
    clock: Clock,
    sight: Sight,
    viewer: UserKey,
    user_ids: list[UserKey],
    now: float,
    done: Found,
    with_devices: bool,
    _seconds: float | None,
) -> None:
    """Ask for a hidden user by a key that nobody has: the engine takes as long as for somebody who never came."""
    asked = [topic_of(key, Lens.HIDDEN) if sight.lens(viewer, key) is Lens.HIDDEN else key for key in user_ids]
    engine.lookup(asked, now, partial(_through, engine, clock, sight, viewer, done), with_devices)


def _through(
    engine: Engine, clock: Clock, sight: Sight, viewer: UserKey, done: Found, found: list[Shown] | None
) -> None:
    """Through the lenses that hold by now, if the engine answers late."""
    if found is None or sight.is_open:
        done(found)
        return
    utc = clock.utc()
    seen = []
    for shown in found:
        lens = sight.lens(viewer, key_of(shown.presence.user_id))
        made = shown_through(lens, shown, utc)
        if made is not shown and made.presence.version:
            made = made._replace(presence=made.presence._replace(version=engine.next_version()))
        seen.append(made)
    done(seen)
