"""What is said on top of something ends on the fake server as it does on the real one."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from presence_client.testing.users import User
from presence_protocol.fields import format_time
from presence_protocol.messages import Override, SetStatus
from presence_server.domain import claims, model
from presence_server.domain.claims import Rules, Word, Wrong

WORDS = st.none() | st.tuples(st.sampled_from(["AWAY", "BUSY", "OFFLINE", UNSET]), st.none() | st.integers(1, 4))


@given(st.lists(WORDS | st.just("lapse"), max_size=8))
def test_both_keep_the_same(words: list[Any]) -> None:
    """`lapse`: the end of the override that is in force has come."""
    fake, real, now = User(), (), 0
    for word in words:
        held = claims.own_status(real, now)
        if word == "lapse":
            if held is None or held.until is None:
                continue
            now = held.until
            real = claims.settled(real, now)
            fake.lapse()
        elif word is None:
            real = claims.said(real, Word(None), now, Rules())
            fake.hear(SetStatus(status=None))
        else:
            status, ahead = word
            until = None if ahead is None else now + ahead
            said = claims.LEAVE if status is UNSET else model.Status(status)
            made = claims.said(real, Word(said, until), now, Rules())
            told = fake.hear(SetStatus(status=status, until=None if until is None else format_time(until)))
            assert told == (made.field if isinstance(made, Wrong) else None)
            real = real if isinstance(made, Wrong) else made
        kept, expected = claims.own_status(real, now), None
        if kept is not None and kept.status is not None:
            expected = Override(kept.status.value, None if kept.until is None else format_time(kept.until))
        assert fake.override == expected
