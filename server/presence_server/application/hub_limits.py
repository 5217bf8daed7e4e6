"""What the hub holds connections to."""

from __future__ import annotations

from typing import NamedTuple

from presence_protocol.limits import MAX_BATCH, MAX_MESSAGE, MAX_WATCHED
from presence_protocol.user_ids import NUMBER, IdKind
from presence_server.application.liveness import LinkTimes
from presence_server.domain.platforms import AnyPlatform, Platform


class HubLimits(NamedTuple):
    """`max_message` (bytes) is only told to clients here; the transport enforces it.

    `min_publish_interval` is in seconds.
    """

    max_watched: int = MAX_WATCHED
    max_batch: int = MAX_BATCH
    max_message: int = MAX_MESSAGE
    min_publish_interval: float = 1.0
    times: LinkTimes = LinkTimes()
    user_ids: IdKind = NUMBER
    platforms: type[AnyPlatform] = Platform
    allows_invisible: bool = True
