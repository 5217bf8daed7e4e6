"""RFC 6455 as the server has to keep it, case by case.

Sections 1 to 7 and 10 carry the numbers of the Autobahn test suite, whose cases they follow as far as a server that
does not echo lets them: where that suite expects its message back, here the message is the protocol's own `ping` with
an `id`, written to the length or with the text that the case is about, and its reply says that it was read. Numbers
of the suite that differ from another only in how the bytes are cut are left out, since every case is sent in several
ways; a letter after a number marks a case beside the suite's. Sections from 20 on are not the suite's at all.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from conformance.frames import (
    Echo,
    Expected,
    Pong,
    Refused,
    Reply,
    Sent,
    binary,
    close,
    in_fragments,
    is_end,
    more,
    ping,
    pong,
    text,
)
from support.frames import is_utf8
from support.raw import BINARY

SMALL: Final = 1024
"""The `max_message` of the server that section 22 is played against: the least that can be set."""

SECTIONS: Final = {
    1: "Framing",
    2: "Pings and pongs",
    3: "Reserved bits",
    4: "Opcodes",
    5: "Fragments",
    6: "UTF-8",
    7: "Closing",
    10: "Fragments made by a machine",
    20: "Masks",
    21: "Lengths",
    22: f"The greatest message (here {SMALL} bytes)",
    23: "What the protocol above makes of a frame",
}

NOTES: Final = {
    "app": "The frame is right, and is read. The protocol above it closes with 4400, since what is in it is not one of "
    "its messages.",
    "long": "Section 5.2 has the sender use as few bytes as will do. A receiver need not look, and this one does not.",
    "head": "Refused at its head for its length, before anybody looks at what kind of frame it is.",
}


class Case(NamedTuple):
    id: str
    title: str
    rfc: str
    """The section of RFC 6455."""
    sends: tuple[Sent, ...]
    expects: tuple[Expected, ...]
    codec: str = "json"
    note: str = ""
    """A key of `NOTES`; without one, there is nothing to say."""

    @property
    def section(self) -> int:
        return int(self.id.partition(".")[0])

    @property
    def is_small(self) -> bool:
        """Whether it is played against the server with the small `max_message`."""
        return self.section == 22

    @property
    def ends(self) -> bool:
        """Whether the connection is over after it."""
        return bool(self.expects) and is_end(self.expects[-1])


def case(id: str, title: str, rfc: str, sends: Sent | tuple[Sent, ...], *expects: Expected, note: str = "") -> Case:
    return Case(id, title, rfc, (sends,) if isinstance(sends, Sent) else sends, expects, note=note)


def packed_case(
    id: str, title: str, rfc: str, sends: Sent | tuple[Sent, ...], *expects: Expected, note: str = ""
) -> Case:
    """For a connection that speaks msgpack, whose messages are binary."""
    return case(id, title, rfc, sends, *expects, note=note)._replace(codec="msgpack")


# -- messages --------------------------------------------------------------------------------------------------------

PING_MESSAGE: Final = b'{"type":"ping","id":7}'
PACKED_PING: Final = b"\x82\xa4type\xa4ping\xa2id\x07"
PACKED_HEAD: Final = b"\x83\xa4type\xa4ping\xa2id\x07\xa1x"
"""The same with a third field, whose value is still to come: the server does not know it, and reads it all the same."""

MESSAGE: Final = text(PING_MESSAGE)
TWO: Final = in_fragments(PING_MESSAGE, 8)
FIVE: Final = in_fragments(PING_MESSAGE, 3, 9, 9, 20)


def padded(size: int) -> bytes:
    """A ping of `size` bytes in JSON: spaces may follow it."""
    return PING_MESSAGE.ljust(size)


def packed(size: int) -> bytes:
    """A ping of `size` bytes in msgpack, with a long string."""
    rest = size - len(PACKED_HEAD) - 5
    return PACKED_HEAD + b"\xdb" + rest.to_bytes(4, "big") + b"*" * rest


def saying(what: bytes) -> bytes:
    """A ping in JSON with `what` in a string of a field that the server does not know."""
    return b'{"type":"ping","id":7,"x":"%b"}' % what


def between(fragments: tuple[Sent, ...], *inserted: Sent) -> tuple[Sent, ...]:
    """`inserted` before the last of the fragments."""
    return (*fragments[:-1], *inserted, fragments[-1])


# -- 1 to 5 ----------------------------------------------------------------------------------------------------------

SIZES: Final = (125, 126, 127, 128, 65_535, 65_536)

framing = [
    case("1.1.1", "text, empty", "5.6", text(b""), Refused(4400), note="app"),
    *(case(f"1.1.{n}", f"text, {size} bytes", "5.2", text(padded(size)), Reply()) for n, size in enumerate(SIZES, 2)),
    packed_case("1.2.1", "binary, empty", "5.6", binary(b""), Refused(4400), note="app"),
    *(
        packed_case(f"1.2.{n}", f"binary, {size} bytes", "5.2", binary(packed(size)), Reply())
        for n, size in enumerate(SIZES, 2)
    ),
]

HELLO: Final = b"Hello, world!"
NOT_TEXT: Final = bytes.fromhex("00fffefdfcfb00ff")
FULL: Final = b"\xfe" * 125
TEN: Final = tuple(b"payload-%d" % number for number in range(10))

pings = [
    case("2.1", "ping without a payload", "5.5.2", ping(), Pong()),
    case("2.2", "ping with text", "5.5.2", ping(HELLO), Pong(HELLO)),
    case("2.3", "ping with bytes that are not UTF-8", "5.5.2", ping(NOT_TEXT), Pong(NOT_TEXT)),
    case("2.4", "ping of 125 bytes", "5.5", ping(FULL), Pong(FULL)),
    case("2.5", "ping of 126 bytes", "5.5", ping(FULL + b"\xfe"), Refused(1002)),
    case("2.5b", "pong of 126 bytes", "5.5", pong(FULL + b"\xfe"), Refused(1002)),
    case("2.7", "pong that nobody asked for", "5.5.3", pong()),
    case("2.8", "pong that nobody asked for, with a payload", "5.5.3", pong(HELLO)),
    case("2.9", "pong that nobody asked for; ping", "5.5.3", (pong(b"x"), ping(HELLO)), Pong(HELLO)),
    case("2.10", "ten pings in a row", "5.5.2", tuple(map(ping, TEN)), *map(Pong, TEN)),
    case(
        "2.10b", "text and ping by turns", "5.5.2", (MESSAGE, ping(b"1")) * 2, Reply(), Pong(b"1"), Reply(), Pong(b"1")
    ),
]

bits = [
    case("3.1", "text with RSV3", "5.2", text(PING_MESSAGE, rsv=1), Refused(1002)),
    case("3.2", "text; text with RSV2; ping", "5.2", (MESSAGE, text(HELLO, rsv=2), ping()), Reply(), Refused(1002)),
    case(
        "3.3", "text; text with RSV2, RSV3; ping", "5.2", (MESSAGE, text(HELLO, rsv=3), ping()), Reply(), Refused(1002)
    ),
    case("3.4", "text; text with RSV1; ping", "5.2", (MESSAGE, text(HELLO, rsv=4), ping()), Reply(), Refused(1002)),
    packed_case("3.5", "binary with RSV1, RSV3", "5.2", binary(PACKED_PING, rsv=5), Refused(1002)),
    case("3.6", "ping with RSV1, RSV2", "5.2", ping(HELLO, rsv=6), Refused(1002)),
    case("3.7", "close with RSV1, RSV2, RSV3", "5.2", close(1000, rsv=7), Refused(1002)),
]


def reserved(section: str, kind: str, first: int) -> list[Case]:
    """Five opcodes in a row: alone, with a payload, and in the middle of what is right."""
    alone = [(1, "", b""), (2, " with a payload", HELLO)]
    amid = [(3, "", b""), (4, " with a payload", HELLO), (5, "", b"")]
    return [
        *(
            case(f"{section}.{n}", f"{kind} {first + n - 1}{how}", "5.2", Sent(first + n - 1, payload), Refused(1002))
            for n, how, payload in alone
        ),
        *(
            case(
                f"{section}.{n}",
                f"text; {kind} {first + n - 1}{how}; ping",
                "5.2",
                (MESSAGE, Sent(first + n - 1, payload), ping()),
                Reply(),
                Refused(1002),
            )
            for n, how, payload in amid
        ),
    ]


opcodes = [*reserved("4.1", "reserved data opcode", 3), *reserved("4.2", "reserved control opcode", 11)]

NOTHING: Final = more(PING_MESSAGE)
"""A continuation frame where there is nothing to continue."""

GOES_ON: Final = NOTHING._replace(fin=False)
OTHER: Final = in_fragments(b'{"type":"ping","id":8}', 2, 4)
HALF_PING: Final = (ping(b"frag", fin=False), more(b"ment"))
HALF_PONG: Final = (pong(b"frag", fin=False), more(b"ment"))
HALF_CLOSE: Final = (close(1000, fin=False), more(b"bye"))
OF_ONE_BYTE: Final = in_fragments(PING_MESSAGE, *range(1, len(PING_MESSAGE)))

fragments = [
    case("5.1", "ping in two fragments", "5.5", HALF_PING, Refused(1002)),
    case("5.2", "pong in two fragments", "5.5", HALF_PONG, Refused(1002)),
    case("5.2b", "close in two fragments", "5.5", HALF_CLOSE, Refused(1002)),
    case("5.3", "text in two fragments", "5.4", TWO, Reply()),
    packed_case("5.3b", "binary in two fragments", "5.4", in_fragments(PACKED_PING, 5, opcode=BINARY), Reply()),
    case("5.3c", "text in fragments of one byte", "5.4", OF_ONE_BYTE, Reply()),
    case("5.3d", "text in two fragments; text in three", "5.4", (*TWO, *OTHER), Reply(), Reply(8)),
    case("5.6", "a ping between two fragments", "5.4", between(TWO, ping(HELLO)), Pong(HELLO), Reply()),
    case("5.6b", "a pong between two fragments", "5.4", between(TWO, pong(HELLO)), Reply()),
    case("5.6c", "ten pings between two fragments", "5.4", between(TWO, *map(ping, TEN)), *map(Pong, TEN), Reply()),
    case("5.6d", "half a ping between two fragments", "5.5", between(TWO, ping(fin=False)), Refused(1002)),
    case("5.6e", "a ping of 126 bytes between two fragments", "5.5", between(TWO, ping(b"*" * 126)), Refused(1002)),
    case("5.9", "final continuation of nothing; text", "5.4", (NOTHING, MESSAGE), Refused(1002)),
    case("5.12", "continuation of nothing, not final; text", "5.4", (GOES_ON, MESSAGE), Refused(1002)),
    case(
        "5.15",
        "text in two fragments; continuation of nothing, not final; text",
        "5.4",
        (*TWO, GOES_ON, MESSAGE),
        Reply(),
        Refused(1002),
    ),
    case(
        "5.15b",
        "text in two fragments; final continuation of nothing",
        "5.4",
        (*TWO, more(b"")),
        Reply(),
        Refused(1002),
    ),
    case("5.16", "continuation of nothing, not final; text; and again", "5.4", (GOES_ON, MESSAGE) * 2, Refused(1002)),
    case("5.17", "final continuation of nothing; text; and again", "5.4", (NOTHING, MESSAGE) * 2, Refused(1002)),
    case("5.18", "two fragments, both begin a text", "5.4", (TWO[0], MESSAGE), Refused(1002)),
    case("5.18b", "two fragments, both begin a text and neither is final", "5.4", (TWO[0], TWO[0]), Refused(1002)),
    case("5.18c", "a whole text between two fragments", "5.4", between(TWO, MESSAGE), Refused(1002)),
    case("5.18d", "a whole binary between two fragments of text", "5.4", between(TWO, binary(b"x")), Refused(1002)),
    case(
        "5.19",
        "text in five fragments, one empty, with two pings between them",
        "5.4",
        (*FIVE[:2], ping(b"1"), *FIVE[2:4], ping(b"2"), FIVE[4]),
        Pong(b"1"),
        Pong(b"2"),
        Reply(),
    ),
]

# -- 6 ---------------------------------------------------------------------------------------------------------------

KOSME: Final = bytes.fromhex("cebae1bdb9cf83cebcceb5")
"""A Greek word, with letters of two bytes and one of three."""

LETTERS: Final = "Hello-µ@ßöäüàá-UTF-8!!".encode()
SURROGATE: Final = bytes.fromhex("eda080")
UNFINISHED: Final = "c0 e080 f08080 f8808080 fc80808080 df efbf f7bfbf fbbfbfbf fdbfbfbfbf"

GOOD: Final = saying(LETTERS)
BAD: Final = saying(KOSME + SURROGATE + b"edited")
WRONG_AT: Final = BAD.index(SURROGATE)
"""Up to the byte after this one BAD may still become UTF-8: ed is the first byte of some letters, but no a0 follows."""

FIRST: Final = ("\0", "\x80", "\u0800", "\U00010000")
LAST: Final = ("\x7f", "\u07ff", "\uffff", "\U0010ffff")


def string(id: str, title: str, data: bytes) -> Case:
    """`data` in a string of a message, in one frame."""
    if is_utf8(data):
        return case(id, title, "8.1", text(saying(data)), Reply())
    return case(id, title, "8.1", text(saying(data)), Refused(1007))


def strings(section: str, title: str, *sequences: str) -> list[Case]:
    """Sequences in hexadecimal, under one title."""
    return [
        string(f"{section}.{number}", f"{title}: {shortened(data)}", bytes.fromhex(data))
        for number, data in enumerate(sequences, 1)
    ]


def shortened(data: str) -> str:
    return data if len(data) <= 40 else f"{data[:24]}... ({len(bytes.fromhex(data))} bytes)"


def points(section: str, title: str, *found: int) -> list[Case]:
    return [
        string(f"{section}.{number}", f"{title}: U+{point:04X}", chr(point).encode())
        for number, point in enumerate(found, 1)
    ]


def in_bytes(payload: bytes) -> tuple[Sent, ...]:
    return in_fragments(payload, *range(1, len(payload)))


def lonely(first: int, last: int) -> str:
    """Each first byte from one to another, with a space after it."""
    return "".join(f"{start:02x}20" for start in range(first, last + 1))


whole_unicode = [
    case("6.1.1", "empty text", "5.6", text(b""), Refused(4400), note="app"),
    case("6.1.2", "three empty fragments", "5.4", in_fragments(b"", 0, 0), Refused(4400), note="app"),
    case(
        "6.1.3", "an empty fragment before and after", "5.4", in_fragments(PING_MESSAGE, 0, len(PING_MESSAGE)), Reply()
    ),
    case("6.2.1", "letters beyond ASCII", "8.1", text(GOOD), Reply()),
    case(
        "6.2.2",
        "the same in two fragments, cut between letters",
        "8.1",
        in_fragments(GOOD, GOOD.index(b"-UTF")),
        Reply(),
    ),
    case("6.2.3", "the same in fragments of one byte", "8.1", in_bytes(GOOD), Reply()),
    case("6.2.4", "Greek in fragments of one byte", "8.1", in_bytes(saying(KOSME)), Reply()),
    case(
        "6.2.5",
        "a letter cut by two fragments, a ping between them",
        "8.1",
        between(in_fragments(saying(KOSME), WRONG_AT - 1), ping()),
        Pong(),
        Reply(),
    ),
    case("6.3.1", "a surrogate after Greek", "8.1", text(BAD), Refused(1007)),
    case("6.3.2", "the same in fragments of one byte", "8.1", in_bytes(BAD), Refused(1007)),
    case(
        "6.4.1",
        "the second of three fragments is wrong; a ping before the third",
        "8.1",
        between(in_fragments(BAD, WRONG_AT, WRONG_AT + 2), ping()),
        Refused(1007),
    ),
    case(
        "6.4.2",
        "the first of two fragments is wrong; a ping before the second",
        "8.1",
        between(in_fragments(BAD, WRONG_AT + 2), ping()),
        Refused(1007),
    ),
    case(
        "6.4.3",
        "two fragments, cut in the middle of what is wrong",
        "8.1",
        in_fragments(BAD, WRONG_AT + 1),
        Refused(1007),
    ),
]

sequences = [
    string("6.5.1", "letters of one byte", b"hello$world"),
    string("6.5.2", "a letter of two bytes", "hello¢world".encode()),
    string("6.5.3", "a letter of three bytes", "hello€world".encode()),
    string("6.5.4", "a letter of four bytes", "hello𤭢world".encode()),
    string("6.5.5", "Greek", KOSME),
    *(string(f"6.6.{size}", f"the first {size} bytes of Greek", KOSME[:size]) for size in range(1, len(KOSME) + 1)),
    case(
        "6.7.1",
        "the first letter of 1 byte, NUL, which JSON wants escaped",
        "5.6",
        text(saying(b"\0")),
        Refused(4400),
        note="app",
    ),
    *(string(f"6.7.{size}", f"the first letter of {size} bytes", FIRST[size - 1].encode()) for size in (2, 3, 4)),
    *strings("6.8", "the first of five and six bytes", "f888808080", "fc8480808080"),
    *(string(f"6.9.{size}", f"the last letter of {size} bytes", LAST[size - 1].encode()) for size in (1, 2, 3, 4)),
    *strings("6.10", "the last of four, five and six bytes", "f7bfbfbf", "fbbfbfbfbf", "fdbfbfbfbfbf"),
    *strings("6.11", "at a bound", "ed9fbf", "ee8080", "efbfbd", "f48fbfbf", "f4908080"),
    *strings(
        "6.12",
        "continuation bytes of nothing",
        *("80", "bf", "80bf", "80bf80", "80bf80bf", "80bf80bf80", "80bf80bf80bf"),
        "".join(f"{byte:02x}" for byte in range(0x80, 0xC0)),
    ),
    *strings(
        "6.13",
        "first bytes without the rest",
        *(lonely(*found) for found in ((0xC0, 0xDF), (0xE0, 0xEF), (0xF0, 0xF7), (0xF8, 0xFB), (0xFC, 0xFD))),
    ),
    *strings("6.14", "the last byte is missing", *UNFINISHED.split()),
    *strings("6.15", "all of these in a row", UNFINISHED.replace(" ", "")),
    *strings("6.16", "bytes that never occur", "fe", "ff", "fefeffff"),
    *strings("6.17", "too many bytes for a slash", "c0af", "e080af", "f08080af", "f8808080af", "fc80808080af"),
    *strings("6.18", "the last that is too long", "c1bf", "e09fbf", "f08fbfbf", "f887bfbfbf", "fc83bfbfbfbf"),
    *strings("6.19", "too many bytes for NUL", "c080", "e08080", "f0808080", "f880808080", "fc8080808080"),
    *strings("6.20", "half a pair of surrogates", "eda080", "edadbf", "edae80", "edafbf", "edb080", "edbe80", "edbfbf"),
    *strings(
        "6.21",
        "a pair of surrogates",
        *(high + low for high in ("eda080", "edadbf", "edae80", "edafbf") for low in ("edb080", "edbfbf")),
    ),
    *points(
        "6.22", "no character, but UTF-8", *(plane << 16 | last for plane in range(17) for last in (0xFFFE, 0xFFFF))
    ),
    *points("6.23", "special", *range(0xFFF9, 0x10000)),
]

# -- 7 and 10 --------------------------------------------------------------------------------------------------------

VALID_CODES: Final = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
REGISTERED_CODES: Final = (1012, 1013, 1014)
"""With IANA, after the RFC."""
INVALID_CODES: Final = (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999)

NORMAL: Final = close(1000)
NORMALLY: Final = Echo(NORMAL.payload)
WRONG: Final = (Sent(3, HELLO), text(PING_MESSAGE, mask=None))


def closing(id: str, title: str, code: int, reason: bytes = b"", rfc: str = "5.5.1") -> Case:
    """A close frame that is right is answered with the same."""
    frame = close(code, reason)
    return case(id, title, rfc, frame, Echo(frame.payload))


def section_of(code: int) -> str:
    return "7.4.1" if 1000 <= code <= 1011 else "7.4.2"


closings = [
    case("7.1.1", "text; close", "5.5.1", (MESSAGE, NORMAL), Reply(), NORMALLY),
    case("7.1.1b", "ping; close", "5.5.1", (ping(HELLO), NORMAL), Pong(HELLO), NORMALLY),
    case("7.1.2", "close; close", "5.5.1", (NORMAL, NORMAL), NORMALLY),
    case("7.1.3", "close; ping", "5.5.1", (NORMAL, ping(HELLO)), NORMALLY),
    case("7.1.4", "close; text", "5.5.1", (NORMAL, MESSAGE), NORMALLY),
    case("7.1.4b", "close; what is wrong", "5.5.1", (NORMAL, *WRONG), NORMALLY),
    case("7.1.4c", "what is wrong; close", "7.1.7", (*WRONG, NORMAL), Refused(1002)),
    case("7.1.5", "a close between two fragments", "5.4", between(TWO, NORMAL), NORMALLY),
    case(
        "7.1.6",
        "text of 262,144 bytes; close; ping",
        "5.5.1",
        (text(padded(262_144)), NORMAL, ping()),
        Reply(),
        NORMALLY,
    ),
    case("7.3.1", "without a payload", "5.5.1", close(), Echo()),
    case("7.3.2", "a payload of one byte", "5.5.1", close()._replace(payload=b"\x03"), Refused(1002)),
    closing("7.3.3", "a code", 1000),
    closing("7.3.4", "a code and a reason", 1000, HELLO),
    closing("7.3.5", "a reason of 123 bytes", 1000, b"*" * 123),
    closing("7.3.5b", "a reason of 123 bytes beyond ASCII", 1000, "€".encode() * 41),
    case("7.3.6", "a reason of 124 bytes", "5.5", close(1000, b"*" * 124), Refused(1002)),
    case("7.5.1", "a reason that is not UTF-8", "8.1", close(1000, KOSME + SURROGATE + b"edited"), Refused(1007)),
    case("7.5.1b", "a reason that ends within a letter", "8.1", close(1000, KOSME[:3]), Refused(1007)),
    *(closing(f"7.7.{n}", f"code {code}", code, rfc=section_of(code)) for n, code in enumerate(VALID_CODES, 1)),
    *(
        closing(f"7.7.{n}", f"code {code}, registered since", code, rfc="7.4.2")
        for n, code in enumerate(REGISTERED_CODES, 14)
    ),
    *(
        case(f"7.9.{n}", f"code {code}", section_of(code), close(code), Refused(1002))
        for n, code in enumerate(INVALID_CODES, 1)
    ),
    case("7.9.10", "code 1015, which no frame may carry", "7.4.1", close(1015), Refused(1002)),
    case("7.13.1", "code 5000", "7.4.2", close(5000), Refused(1002)),
    case("7.13.2", "code 65535", "7.4.2", close(65_535), Refused(1002)),
]

CUTS: Final = tuple(range(1300, 65_536, 1300))

machine_made = [
    case("10.1.1", "text of 65,536 bytes in fragments of 1,300", "5.4", in_fragments(padded(65_536), *CUTS), Reply()),
    packed_case(
        "10.1.1b",
        "binary of 65,536 bytes in fragments of 1,300",
        "5.4",
        in_fragments(packed(65_536), *CUTS, opcode=BINARY),
        Reply(),
    ),
]

# -- 20 to 23 --------------------------------------------------------------------------------------------------------

UNMASKED: Final = text(PING_MESSAGE, mask=None)
DISGUISE: Final = bytes(a ^ b for a, b in zip(PING_MESSAGE, b"\x88\x80" * 11, strict=True))

masks = [
    case("20.1", "text that is not masked", "5.1", UNMASKED, Refused(1002)),
    case("20.2", "empty text that is not masked", "5.1", text(b"", mask=None), Refused(1002)),
    packed_case("20.3", "binary that is not masked", "5.1", binary(PACKED_PING, mask=None), Refused(1002)),
    case("20.4", "ping that is not masked", "5.1", ping(HELLO, mask=None), Refused(1002)),
    case("20.5", "pong that is not masked", "5.1", pong(mask=None), Refused(1002)),
    case("20.6", "close that is not masked", "5.1", close(1000, mask=None), Refused(1002)),
    case("20.7", "text; text that is not masked", "5.1", (MESSAGE, UNMASKED), Reply(), Refused(1002)),
    case("20.8", "the second fragment is not masked", "5.1", (TWO[0], TWO[1]._replace(mask=None)), Refused(1002)),
    case("20.9", "a mask of zeros", "5.3", text(PING_MESSAGE, mask=bytes(4)), Reply()),
    case("20.10", "a mask of ones", "5.3", text(PING_MESSAGE, mask=b"\xff" * 4), Reply()),
    case(
        "20.11",
        "a mask that makes the payload look like close frames",
        "5.3",
        text(PING_MESSAGE, mask=DISGUISE[:4]),
        Reply(),
    ),
    case(
        "20.12",
        "another mask for each frame",
        "5.3",
        (TWO[0], ping(HELLO, mask=b"\x01\x80\xff\x07"), TWO[1]._replace(mask=bytes(4))),
        Pong(HELLO),
        Reply(),
    ),
]

PARTS: Final = in_fragments(PING_MESSAGE, len(PING_MESSAGE))


def huge(size: int) -> Sent:
    """A text that says it is so long."""
    return text(PING_MESSAGE, length_bytes=8, claimed=size)


lengths = [
    case("21.1", "text of 22 bytes, said in two", "5.2", text(PING_MESSAGE, length_bytes=2), Reply(), note="long"),
    case("21.2", "text of 22 bytes, said in eight", "5.2", text(PING_MESSAGE, length_bytes=8), Reply(), note="long"),
    case("21.3", "text of 125 bytes, said in two", "5.2", text(padded(125), length_bytes=2), Reply(), note="long"),
    case(
        "21.4", "text of 65,535 bytes, said in eight", "5.2", text(padded(65_535), length_bytes=8), Reply(), note="long"
    ),
    case(
        "21.5",
        "an empty last fragment, said in eight bytes",
        "5.2",
        (PARTS[0], PARTS[1]._replace(length_bytes=8)),
        Reply(),
        note="long",
    ),
    case("21.6", "ping of 13 bytes, said in two", "5.2", ping(HELLO, length_bytes=2), Pong(HELLO), note="long"),
    case("21.7", "empty ping, said in eight bytes", "5.2", ping(length_bytes=8), Pong(), note="long"),
    case(
        "21.8", "pong of 13 bytes, said in two; ping", "5.2", (pong(HELLO, length_bytes=2), ping()), Pong(), note="long"
    ),
    case("21.9", "close of two bytes, said in two", "5.2", close(1000, length_bytes=2), NORMALLY, note="long"),
    case("21.10", "2^63 - 1 bytes, the most there can be", "7.4.1", huge(2**63 - 1), Refused(1009)),
    case("21.11", "2^63 bytes, with the bit that must not be set", "5.2", huge(2**63), Refused(1009), note="head"),
    case("21.12", "2^64 - 1 bytes", "5.2", huge(2**64 - 1), Refused(1009), note="head"),
    case("21.13", "ping of 65,536 bytes", "5.5", ping(b"*" * 65_536), Refused(1002)),
    case(
        "21.14",
        "ping of 2^62 bytes, as it says",
        "5.5",
        ping(length_bytes=8, claimed=2**62),
        Refused(1009),
        note="head",
    ),
]

MOST: Final = padded(SMALL)
TOO_MUCH: Final = padded(SMALL + 1)
FULL_PING: Final = b"*" * 125

greatest = [
    case("22.1", "text of the greatest length", "10.4", text(MOST), Reply()),
    case("22.2", "text of a byte more", "10.4", text(TOO_MUCH), Refused(1009)),
    packed_case("22.3", "binary of the greatest length", "10.4", binary(packed(SMALL)), Reply()),
    packed_case("22.4", "binary of a byte more", "10.4", binary(packed(SMALL + 1)), Refused(1009)),
    case("22.5", "the greatest length in two fragments", "10.4", in_fragments(MOST, 600), Reply()),
    case("22.6", "a byte more in two fragments", "10.4", in_fragments(TOO_MUCH, 600), Refused(1009)),
    case("22.7", "a byte more, alone in a last fragment", "10.4", in_fragments(TOO_MUCH, SMALL), Refused(1009)),
    case("22.8", "the greatest length, and an empty last fragment", "10.4", in_fragments(MOST, SMALL), Reply()),
    case("22.9", "a byte more in a fragment that is not final", "10.4", text(TOO_MUCH, fin=False), Refused(1009)),
    case("22.10", "the head alone of a frame with a byte more", "10.4", text(b"", claimed=SMALL + 1), Refused(1009)),
    case("22.11", "the greatest length, three times", "10.4", (text(MOST),) * 3, Reply(), Reply(), Reply()),
    case("22.12", "the same in fragments", "10.4", in_fragments(MOST, 1, 600) * 3, Reply(), Reply(), Reply()),
    case("22.13", "a byte more; text", "10.4", (text(TOO_MUCH), MESSAGE), Refused(1009)),
    case(
        "22.14",
        "an empty ping where nothing is left",
        "5.4",
        between(in_fragments(MOST, SMALL), ping()),
        Pong(),
        Reply(),
    ),
    case(
        "22.15",
        "a ping of 24 bytes where 24 are left",
        "5.4",
        between(in_fragments(MOST, 1000), ping(FULL_PING[:24])),
        Pong(FULL_PING[:24]),
        Reply(),
    ),
    case(
        "22.16",
        "a ping of 125 bytes where 24 are left",
        "5.4",
        between(in_fragments(MOST, 1000), ping(FULL_PING)),
        Pong(FULL_PING),
        Reply(),
    ),
    case(
        "22.17",
        "a pong of a byte where nothing is left",
        "5.4",
        between(in_fragments(MOST, SMALL), pong(b"*")),
        Reply(),
    ),
]

above = [
    case("23.1", "binary where messages are text", "5.6", binary(PING_MESSAGE), Refused(4400), note="app"),
    packed_case("23.2", "text where messages are binary", "5.6", text(PING_MESSAGE), Refused(4400), note="app"),
    case("23.3", "text that is not JSON", "5.6", text(HELLO), Refused(4400), note="app"),
    packed_case("23.4", "binary that is not msgpack", "5.6", binary(b"\xc1"), Refused(4400), note="app"),
    packed_case("23.5", "binary with Greek in a string", "5.6", binary(PACKED_HEAD + b"\xab" + KOSME), Reply()),
    packed_case(
        "23.6",
        "binary with a surrogate in a string",
        "5.6",
        binary(PACKED_HEAD + b"\xa3" + SURROGATE),
        Refused(4400),
        note="app",
    ),
]

CASES: Final = (
    *framing,
    *pings,
    *bits,
    *opcodes,
    *fragments,
    *whole_unicode,
    *sequences,
    *closings,
    *machine_made,
    *masks,
    *lengths,
    *greatest,
    *above,
)
