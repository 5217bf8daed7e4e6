"""The table of characters, against all code points that there are."""

import sys
import unicodedata

import pytest

from presence_protocol.codec import JSON
from presence_protocol.errors import MalformedMessage
from presence_protocol.text import REFUSED, refusal

ALL = range(sys.maxunicode + 1)


def is_refused(point: int) -> bool:
    return any(first <= point <= last for first, last, _ in REFUSED)


def test_each_code_point_is_refused_by_name_or_taken() -> None:
    for point in ALL:
        reason = refusal(f"a{chr(point)}b")
        assert (reason or "").startswith(f"must not hold U+{point:04X}, ") if is_refused(point) else reason is None


def test_nothing_refused_is_printable_in_any_version_of_unicode() -> None:
    """The quick yes of `fields` rests on it: these categories are closed, or may never hold a character."""
    closed = {"Cc", "Zl", "Zp", "Cs", "Cf", "Cn"}
    for first, last, _ in REFUSED:
        for point in range(first, last + 1):
            assert unicodedata.category(chr(point)) in closed
            assert not chr(point).isprintable()


def test_the_ranges_ascend() -> None:
    bounds = [point for first, last, _ in REFUSED for point in (first, last)]
    assert bounds == sorted(bounds)


@pytest.mark.parametrize(
    ("escapes", "named"),
    [
        (r"\ud83d", "U+D83D"),
        (r"\ude00 ", "U+DE00"),
        (r"\ud83d\ude00\ude01", "U+DE01"),
        (r"\ud83d\ud83d\ude00", "U+D83D"),
        (r"\uDE00\uD83D", "U+DE00"),
        (r"\\\ud83d", "U+D83D"),
    ],
)
def test_half_of_a_surrogate_pair_is_named(escapes: str, named: str) -> None:
    with pytest.raises(MalformedMessage, match=f"{named[:1]}.{named[2:]} is half of a surrogate pair"):
        JSON.decode_client(f'{{"type":"status","status":null,"statusText":"{escapes}"}}'.encode())


def test_what_only_looks_like_a_surrogate_is_not_named() -> None:
    with pytest.raises(MalformedMessage) as malformed:
        JSON.decode_client(rb'{"statusText":"\\ud83d \ud83d\ude00"')
    assert "surrogate" not in str(malformed.value)
