"""The envelope: three keys, the status twice, a stable code for programs and Chinese for people."""

from __future__ import annotations

import json
import re

import pytest

from presence_protocol.errors import FieldError
from presence_server.transports.rest.envelope import ERRORS, MESSAGES, RETRY_AFTER, Refusal, failure, success


def test_success() -> None:
    answer = success({"userId": 1}, "上线成功")
    assert answer.status_code == 200
    assert bytes(answer.body).decode() == '{"code":200,"message":"上线成功","data":{"userId":1}}'
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


def test_nothing_to_tell_is_null() -> None:
    assert json.loads(bytes(success(None).body)) == {"code": 200, "message": "success", "data": None}


@pytest.mark.parametrize("status", ERRORS)
def test_every_refusal_has_its_code_and_its_chinese_message(status: int) -> None:
    answer = failure(Refusal(status, [FieldError("userId", "is required")]))
    body = json.loads(bytes(answer.body))
    assert list(body) == ["code", "message", "data"]
    assert answer.status_code == body["code"] == status
    assert re.search("[一-鿿]", body["message"])
    assert re.fullmatch("[a-z_]+", body["data"]["error"])
    assert body["data"]["details"] == [{"field": "userId", "reason": "is required"}]
    assert answer.headers["cache-control"] == "no-store"


def test_codes_and_messages_are_each_given_once() -> None:
    assert (
        len({error for error, _ in ERRORS.values()}) == len({message for _, message in ERRORS.values()}) == len(ERRORS)
    )


@pytest.mark.parametrize("error", MESSAGES)
def test_a_code_that_says_more_than_its_status_has_a_message_of_its_own(error: str) -> None:
    data = json.loads(bytes(failure(Refusal(404, error=error)).body))
    assert (data["message"], data["data"]["error"]) == (MESSAGES[error], error)
    assert data["message"] != ERRORS[404][1]


def test_headers_that_belong_to_a_status() -> None:
    assert failure(Refusal(401)).headers["www-authenticate"] == "Bearer"
    assert failure(Refusal(426)).headers["upgrade"] == "websocket"
    for status in (429, 503):
        assert failure(Refusal(status)).headers["retry-after"] == str(RETRY_AFTER)
    assert "retry-after" not in failure(Refusal(400)).headers
    assert failure(Refusal(405, headers={"Allow": "GET"})).headers["allow"] == "GET"
