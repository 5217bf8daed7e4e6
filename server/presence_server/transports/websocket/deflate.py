"""permessage-deflate (RFC 7692): long messages compressed, and nothing of it kept in an idle connection.

**Without context takeover**, which every answer to an offer says for both sides: each message stands alone. What zlib
would remember between two messages is 135 KB a connection, or 28 KB with a window of 4 KB and less compression, where
all else of an idle connection is 2.8 KB; and a frame that goes to many could not be compressed once for all.

**With the full window.** As nothing is kept, a smaller one would save nothing here, and costs time: a diff of 500
entries takes 91 us with the full window, 200 with 8 KB, 300 with 4 KB. Whoever insists on a smaller one for what the
server sends gets no extension.

**From 1 KB on.** A packet takes 1.4 KB in any case, and below 1 KB compressing costs as much as the write (5 us) to
save a few hundred bytes; a diff of one entry even grows in msgpack.

| a diff of, in JSON | bytes | level 1 (**built**) | level 6 |
|---|---|---|---|
| 1 entry | 210 | 5 us, to 84 % | 5 us, to 84 % |
| 5 entries | 720 | 6 us, to 44 % | 6 us, to 43 % |
| 10 entries | 1,290 | 6 us, to 34 % | 8 us, to 33 % |
| 50 entries | 6,610 | 13 us, to 23 % | 22 us, to 21 % |
| 500 entries | 63,600 | 92 us, to 21 % | 546 us, to 17 % |

**Bombs.** The parser stops inflating at the largest message and closes with 1009. But deflate grows to a thousand
times its size, so what arrives is parsed in chunks of which not much more than one largest message can come.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

from websockets.exceptions import NegotiationError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.typing import ExtensionParameter

from presence_server.transports.websocket.frames import RSV1, frame, sent_frames
from presence_server.transports.websocket.parsers import Parsers

LEAST: Final = 1024
"""Bytes of the shortest payload that is compressed."""

LEVEL: Final = 1
"""zlib's: the fastest."""

WINDOW_BITS: Final = zlib.MAX_WBITS

CHUNK: Final = 512
"""Bytes parsed at once where they may be compressed: up to 528 KB of messages, as deflate's best is 1 : 1,032."""


class Deflation:
    """What all connections that agreed on it share."""

    def __init__(self, max_message: int, logger: object) -> None:
        self.factories = (_Factory(server_no_context_takeover=True, client_no_context_takeover=True),)
        self.parsers = Parsers(max_message, logger, _inflating)
        self._last = [(b"", b"")] * 2

    def compressed(self, frames: bytes) -> bytes:
        """The same frames, the long ones among them compressed.

        A flush may write the very same bytes to many: the last are remembered, of either codec, since those take turns.
        (A frame with a single change, which is what is shared today, is too short to be compressed at all.)
        """
        if len(frames) < LEAST:
            return frames
        codec = frames[0] & 1
        known, result = self._last[codec]
        if known is not frames:
            result = b"".join(_compressed(head, payload) for head, payload in sent_frames(frames))
            self._last[codec] = frames, result
        return result

    def __repr__(self) -> str:
        return f"<Deflation, {self.parsers!r}>"


class _Factory(ServerPerMessageDeflateFactory):
    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], PerMessageDeflate]:
        answer, extension = super().process_request_params(params, accepted_extensions)
        if extension.local_max_window_bits < WINDOW_BITS:
            raise NegotiationError("one window serves all")  # the offer is passed over
        return answer, extension


def _inflating() -> list[Extension]:
    # The window of who insisted on a smaller one fits into this as well.
    return [PerMessageDeflate(True, True, WINDOW_BITS, WINDOW_BITS)]


def _compressed(head: int, payload: bytes) -> bytes:
    if len(payload) < LEAST:
        return frame(head, payload)
    deflate = zlib.compressobj(LEVEL, wbits=-WINDOW_BITS)
    data = deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return frame(RSV1 | head, data[:-4])  # RFC 7692 section 7.2.1: without the empty block at its end
