"""What is said on top of something ends on the fake server as it does on the real one."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from presence_client.testing.users import User
from presence_protocol.fields import format_time
from presence_protocol.messages import Override
from presence_server.domain import model, overrides

WORDS = st.none() | st.tuples(st.sampled_from(["AWAY", "BUSY", "OFFLINE"]), st.none() | st.integers(1, 4))


@given(st.lists(WORDS | st.just("lapse"), max_size=8))
def test_both_keep_the_same(words: list[Any]) -> None:
    """`lapse`: the end of the override that is in force has come."""
    fake, real, now = User(), None, 0
    for word in words:
        if word == "lapse":
            if real is None or real.until is None:
                continue
            now = real.until
            real = overrides.ended(real, now)
            fake.lapse()
        elif word is None:
            real = None
            fake.say(None)
        else:
            status, ahead = word
            until = None if ahead is None else now + ahead
            wanted = model.Override(model.Status(status), until)
            real = wanted if real is None else overrides.on_top(wanted, real)
            fake.say(Override(status, None if until is None else format_time(until)))
        expected = None
        if real is not None:
            expected = Override(real.status.value, None if real.until is None else format_time(real.until))
        assert fake.override == expected
