"""The answers to what is wrong: a stable code, the field, the reason, and the id of what they answer."""

from __future__ import annotations

import json

from presence_protocol.codec import JSON
from presence_protocol.errors import FieldError, InvalidMessage
from presence_server.application import refusals


def test_an_invalid_message_is_answered_with_every_wrong_field() -> None:
    failure = InvalidMessage("invalid_request", [FieldError("userIds", "is required"), FieldError("id", "is odd")], 3)
    assert json.loads(JSON.encode(refusals.invalid(failure))) == {
        "type": "error",
        "id": 3,
        "code": 400,
        "error": "invalid_request",
        "message": "userIds: is required; id: is odd",
        "details": [{"field": "userIds", "reason": "is required"}, {"field": "id", "reason": "is odd"}],
    }


def test_a_refusal_names_its_field() -> None:
    assert json.loads(JSON.encode(refusals.refusal(403, "forbidden", "type", "is not for you", None))) == {
        "type": "error",
        "code": 403,
        "error": "forbidden",
        "message": "type: is not for you",
        "details": [{"field": "type", "reason": "is not for you"}],
    }


def test_what_may_be_tried_again_says_so() -> None:
    error = refusals.unavailable(8)
    assert (error.id, error.code, error.error, error.details) == (8, 503, "unavailable", None)
    assert "later" in error.message
