"""What a body may hold is said twice, in types for speed and in words for its sender: both agree on every body."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from presence_protocol.fields import find_errors
from presence_server.transports.rest import crowd_docs, feed_schemas, schemas
from presence_server.transports.rest.bodies import (
    RULES,
    BatchBody,
    BlocksBody,
    BlocksChangeBody,
    Bodies,
    Body,
    ChangesBody,
    ContactsBody,
    ContactsChangeBody,
    DeviceBody,
    KickBody,
    OnlineBody,
    PrivacyBody,
    ReachBody,
    RevokeBody,
    StatusBody,
)
from presence_server.transports.rest.envelope import Refusal
from support.rest import mismatches

decode = Bodies().decode

SCHEMAS = {
    OnlineBody: schemas.ONLINE_BODY,
    DeviceBody: schemas.HEARTBEAT_BODY,
    BatchBody: schemas.batch_body(1000),
    StatusBody: schemas.STATUS_BODY,
    RevokeBody: schemas.REVOKE_BODY,
    ChangesBody: feed_schemas.changes_body(5000),
    ContactsBody: schemas.CONTACTS_BODY,
    ContactsChangeBody: schemas.CONTACTS_CHANGE_BODY,
    BlocksBody: schemas.BLOCKS_BODY,
    BlocksChangeBody: schemas.BLOCKS_CHANGE_BODY,
    PrivacyBody: schemas.PRIVACY_BODY,
    KickBody: crowd_docs.KICK_BODY,
    ReachBody: crowd_docs.reach_body(1000),
}

# Values near what is right, and what is nowhere near.
_INTEGERS = [1, 10001, 2**53 - 1, 0, 60, 60_000]
_TEXTS = ["a", "x" * 123, "x" * 128, "x" * 140, "WEB", "PC", "BUSY", "OFFLINE", "2025-11-09T15:00:00Z"]
RIGHT = st.sampled_from([*_INTEGERS, *_TEXTS, True, False, None, [], [1], [1, 1, 2**53 - 1]])

_NO_INTEGERS = [2**53, 2**63, 2**64, 10**30, -1, 1.0, 60.5, 60_001]
_NO_TEXTS = ["", "x" * 129, "x" * 141, "web", "a\nb", "\u200b", "\xa0"]
_NO_TIMES = ["2025-11-09", "2025-02-30T15:00:00Z", "2025-11-09T15:00:60Z", "2025-11-09t15:00:00Z"]
NEAR = st.sampled_from([*_NO_INTEGERS, *_NO_TEXTS, *_NO_TIMES, [0], [1, True], [1.0], [None], [[1]], {}])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)
VALUES = RIGHT | RIGHT | NEAR | ANYTHING


def bodies(body_type: type[Body]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=dict.fromkeys([*RULES[body_type], "unknown"], VALUES))


@pytest.mark.parametrize("body_type", RULES, ids=lambda body_type: body_type.__name__)
def test_types_rules_and_document_agree(body_type: type[Body]) -> None:
    typed = msgspec.json.Decoder(body_type)

    @given(bodies(body_type))
    def check(raw: dict[str, Any]) -> None:
        if body_type is StatusBody and not set(raw) - {"unknown"}:
            return  # nothing is said: a matter of no single field
        data = msgspec.json.encode(raw)
        known = {name: value for name, value in raw.items() if name != "unknown"}
        try:
            typed.decode(msgspec.json.encode(known))
            is_accepted = True
        except msgspec.ValidationError:
            is_accepted = False
        errors = find_errors(raw, RULES[body_type])
        assert is_accepted is not bool(errors)
        if is_accepted:
            decode(data, body_type)
            assert not list(mismatches({}, SCHEMAS[body_type], raw))
        else:
            with pytest.raises(Refusal) as refusal:
                decode(data, body_type)
            assert (refusal.value.status, list(refusal.value.details)) == (400, errors)

    check()


@given(st.binary())
@example(b"")
@example(b'{"userId":')
@example(b"[" * 100_000)
@example(b'{"userId":' + b"9" * 5000 + b"}")
@example(b'"\\ud800"')
@example(b"\xff")
def test_whatever_bytes_come_the_answer_is_a_refusal_or_a_body(data: bytes) -> None:
    for body_type in RULES:
        refusal = None
        try:
            assert isinstance(decode(data, body_type), body_type)
        except Refusal as raised:
            refusal = raised
        assert refusal is None or (refusal.status == 400 and refusal.details)


def test_what_is_refused_says_where_and_why() -> None:
    cases = {
        b"": "is empty; a JSON object is expected",
        b"[1]": "must be a JSON object",
        b'{"a":1,}': "is not JSON: trailing comma in object (byte 7)",
        b"[" * 100_000: "is nested too deeply",
        b'{"a":"x\xff"}': "is not UTF-8 (byte 1 of a string)",
    }
    for data, reason in cases.items():
        with pytest.raises(Refusal) as refusal:
            decode(data, OnlineBody)
        assert [tuple(detail) for detail in refusal.value.details] == [("body", reason)]
