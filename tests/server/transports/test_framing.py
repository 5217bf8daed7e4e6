"""Where requests end: pieces that are one request's, and never a byte of the next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from presence_server.transports.http.framing import Framing

HEAD = b"POST /a HTTP/1.1\r\nHost: h\r\n\r\n"


def chunked(body: bytes, size: int) -> bytes:
    chunks = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%X;x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nTrailer: a\r\n\r\n"


messages = st.tuples(st.binary(max_size=60), st.none() | st.integers(1, 20))
"""A body, and into what chunks it is cut; None: it has a length."""


@given(st.lists(messages, max_size=5), st.lists(st.integers(1, 40), min_size=1), st.integers(1, 50))
def test_pieces_end_where_messages_do(sent: list[tuple[bytes, int | None]], reads: list[int], most: int) -> None:
    bodies = [body if size is None else chunked(body, size) for body, size in sent]
    stream = b"".join(HEAD + body for body in bodies)
    ends, at = [], 0
    for body in bodies:
        ends += [at + len(HEAD), at + len(HEAD) + len(body)]
        at += len(HEAD) + len(body)

    framing, seen, number = Framing(), 0, 0
    data, is_in_head = b"", True
    sizes = iter(reads * len(stream))
    while seen + len(data) < len(stream) or data:
        if not data:
            data = stream[seen : seen + next(sizes)]
        end = framing.cut(data, 0, most)
        assert end > 0
        seen, data = seen + end, data[end:]
        expected = ends[2 * number + (not is_in_head)]
        assert seen <= expected, "a piece holds a byte of what comes next"
        if seen < expected:
            continue
        body, size = sent[number]
        if is_in_head and (size is not None or body):
            is_in_head = False
            if size is None:
                framing.expect_length(len(body))
            else:
                framing.expect_chunks()
            continue
        number, is_in_head = number + 1, True
        framing.begin()
    assert (seen, number) == (len(stream), len(sent))
