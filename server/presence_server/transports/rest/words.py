"""What the API document says to people, in English and Chinese; one document speaks one of them."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

LANGUAGES: Final = ("en", "zh")


class Words(NamedTuple):
    """The same said in each of `LANGUAGES`."""

    en: str
    zh: str


def in_language(part: Any, language: str) -> Any:
    """A copy of a JSON-like value with the words of one language."""
    if isinstance(part, Words):
        return part.zh if language == "zh" else part.en
    if isinstance(part, dict):
        return {name: in_language(value, language) for name, value in part.items()}
    if isinstance(part, list | tuple):
        return [in_language(item, language) for item in part]
    return part
