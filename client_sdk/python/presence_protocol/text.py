"""Which characters a text that people read may hold: one table of code points, the same in every language.

Refused is what can break a line, a log or the direction of the text around it, and what is no character at all:

- C0 and C1 controls, U+0000 to U+001F and U+007F to U+009F
- the line and paragraph separators U+2028 and U+2029
- bidirectional embeddings, overrides and isolates, U+202A to U+202E and U+2066 to U+2069
- surrogates, U+D800 to U+DFFF
- non-characters, U+FDD0 to U+FDEF and the last two code points of each plane

Everything else is taken, also what Unicode has not assigned yet: the joiners that emoji and Persian are spelt with, the
tags of flags, wide and no-break spaces, private use. `str.isprintable` was rejected as the rule: it refuses those, and
what it says of a new emoji depends on the interpreter's version of Unicode.

The tables of the browser SDK and this one run the same vectors, `tests/vectors/text.json`.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

REFUSED: Final[tuple[tuple[int, int, str], ...]] = (
    (0x0000, 0x001F, "a control character"),
    (0x007F, 0x009F, "a control character"),
    (0x2028, 0x2029, "a line separator"),
    (0x202A, 0x202E, "a bidirectional control"),
    (0x2066, 0x2069, "a bidirectional control"),
    (0xD800, 0xDFFF, "a surrogate"),
    (0xFDD0, 0xFDEF, "not a character"),
    *((plane + 0xFFFE, plane + 0xFFFF, "not a character") for plane in range(0, 0x110000, 0x10000)),
)
"""First and last code point of each range, and what those are, in ascending order."""

_refused: Final = re.compile(f"[{''.join(f'{chr(first)}-{chr(last)}' for first, last, _ in REFUSED)}]")


def refusal(text: str) -> str | None:
    """The reason why `text` is not taken, naming the first character at fault as `U+202E`; None if it is taken."""
    found = _refused.search(text)
    if found is None:
        return None
    point = ord(found[0])
    kind = next(kind for first, last, kind in REFUSED if first <= point <= last)
    return f"must not hold U+{point:04X}, {kind}"


def cleaned(text: str) -> str:
    """`text` with a question mark for each character that is not taken, such as what could move a terminal's cursor."""
    return _refused.sub("?", text)


SHORT_CODE: Final = re.compile(r":[A-Za-z0-9_+-]{1,62}:")
"""`:palm_tree:`, for clients that have pictures of their own."""

# What belongs to the character before it: combining marks, variation selectors, skin tones, tags.
_MARK: Final = (
    "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f"
    "\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f\U000e0100-\U000e01ef"
)
# What nobody sees by itself: spaces, joiners, marks of direction, what breaks or forbids to break.
_UNSEEN: Final = (
    "\u0020\u00a0\u00ad\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u202f\u205f-\u206f\u2800\u3000\u3164"
    "\ufeff\uffa0"
)
_FLAG: Final = "[\U0001f1e6-\U0001f1ff]"
# Only these are joined by a joiner: where Unicode has its pictures, and room for those to come.
_PICTURE: Final = f"(?!{_FLAG})[\u203c-\u2fff\u3030\u303d\u3297\u3299\U0001f000-\U0001fffd][{_MARK}]*"
_one_emoji: Final = re.compile(
    f"{_FLAG}{{1,2}}[{_MARK}]*|{_PICTURE}(?:\u200d{_PICTURE})*|[^{_UNSEEN}{_MARK}][{_MARK}]*|[\U0001f3fb-\U0001f3ff]"
).fullmatch


def is_one_emoji(text: str) -> bool:
    """Whether `text` is one character as people see it: an emoji with its joiners and tones, a flag, a letter.

    A grapheme cluster as in UAX #29, told by its form and not by a version of Unicode: marks belong to what stands
    before them, a joiner to both sides, two regional indicators are a flag. A joiner or a mark alone is none. Libraries
    that segment text were rejected: each brings the tables of one version of Unicode into every client, and refuses the
    emoji of the next; and what is taken must be the same in every language.
    """
    return _one_emoji(text) is not None and refusal(text) is None


_find_lone: Final = re.compile(
    rb"(?<!\\)(?:\\\\)*\\u(d[89ab]..(?!\\ud[c-f])|(?<!\\ud[89ab]..\\u)d[c-f]..)", re.IGNORECASE | re.DOTALL
).search


def lone_surrogate(data: bytes) -> str | None:
    """The first escape in JSON text that is half of a surrogate pair without the other, as `U+D83D`; None: none is.

    Such text is refused as not JSON, since it stands for no string of Unicode (RFC 8259 section 8.2); this says why.
    """
    found = _find_lone(data, 0, 65_536)  # 2 ms: whoever sends more of it is told less
    return None if found is None else f"U+{found[1].decode('ascii', 'replace').upper()}"


_MARKS: Final = (
    (codecs.BOM_UTF8, "UTF-8"),
    (codecs.BOM_UTF32_LE, "UTF-32"),  # which begins like that of UTF-16
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def byte_order_mark(data: bytes) -> str | None:
    """The encoding that a mark at the beginning of `data` speaks of. JSON must not have any (RFC 8259 section 8.1)."""
    return next((name for mark, name in _MARKS if data.startswith(mark)), None)
