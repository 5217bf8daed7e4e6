"""What is kept beside users' records: each kind a section, with entries of a key and a value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

Key = Any
"""Anything that MessagePack tells and that is hashable once `Section.restore` gets it: a list comes back as one."""


class Section(Protocol):
    """One kind of entries.

    Whoever changes one calls `on_change` with its key, after the change.
    """

    name: str
    on_change: Callable[[Any], None]

    def keys(self) -> Iterable[Any]:
        """Of all entries that there are."""
        ...

    def dump(self, key: Any) -> tuple[Any, Any]:
        """The key and the value as plain data; None for a value that there is not."""
        ...

    def restore(self, key: Any, value: Any) -> None:
        """An entry was read. Raises ValueError, TypeError or LookupError: it cannot be understood."""
        ...
