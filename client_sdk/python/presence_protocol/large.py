"""Reads what is large and wrong, field by field, without building what nobody will look at.

A message that failed its types is read again, so that each wrong field can be named. To build all of it costs what it
has values: 262 KB of lists in lists took 32 ms, in which a server serves nobody else. Here a large message is only
passed over (0.4 ms), and of its fields those are built that the protocol knows: a value, or a list of values. A field
that is neither, and large, is not looked at any further.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

import msgspec

LARGE: Final = 16 * 1024
"""Bytes from which on a message, or a field of one, is read so: 1 ms of lists in lists."""

_Value = bool | int | float | str | None
Flat: Final[Any] = _Value | list[_Value]


class Tangle:
    """Stands for the value of a field that is large, and neither a value nor a list of values."""

    def __repr__(self) -> str:
        return "<Tangle>"


TANGLE: Final = Tangle()


def fields_of(
    parts: dict[str, msgspec.Raw],
    known: Collection[str],
    decode_flat: Callable[[msgspec.Raw], Any],
    decode_any: Callable[[msgspec.Raw], Any],
) -> dict[str, Any]:
    """The values of the `known` fields among `parts`; `TANGLE` for one that is not worth building.

    Raises:
        ValueError: a value is not in the encoding.
    """
    found: dict[str, Any] = {}
    for name, part in parts.items():
        if name not in known:
            continue
        try:
            found[name] = decode_flat(part)
        except msgspec.ValidationError:
            found[name] = decode_any(part) if len(memoryview(part)) <= LARGE else [TANGLE]
    return found
