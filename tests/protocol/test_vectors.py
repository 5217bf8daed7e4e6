"""The shared vectors, as Python runs them. What a step means stands in the `about` of each file."""

import json
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]
import msgspec
import pytest

from presence_client.actions import PROBLEMS
from presence_protocol import fields
from presence_protocol.close_codes import CloseCode, advice, ends_device
from presence_protocol.codec import JSON, MSGPACK, Codec
from presence_protocol.errors import InvalidMessage, MalformedMessage, OutOfTurn, Refused
from presence_protocol.session import CLIENT_EVENTS, SERVER_EVENTS, Role, Session, State, advance, event_of
from presence_protocol.view import View
from support.frames import is_utf8

VECTORS = Path(__file__).parent.parent / "vectors"


def cases(name: str) -> list[Any]:
    vectors = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    return [pytest.param(case, id=str(case.get("name", case.get("code")))) for case in vectors["cases"]]


@pytest.mark.parametrize("case", cases("close_codes.json"))
def test_close_codes(case: dict[str, Any]) -> None:
    assert advice(case["code"]).value == case["advice"]
    assert ends_device(case["code"]) is case["ends_device"]
    problem = PROBLEMS.get(case["code"])
    assert (problem and problem.value) == case.get("problem")


@pytest.mark.parametrize("case", cases("text.json"))
def test_text(case: dict[str, Any]) -> None:
    point = case["refused"]
    for rule in (fields.device_id, fields.status_text):
        reason = rule(case["text"])
        assert (reason is None) if point is None else (reason or "").startswith(f"must not hold {point}, "), reason


@pytest.mark.parametrize("case", cases("emoji.json"))
def test_emoji(case: dict[str, Any]) -> None:
    assert (fields.status_emoji(case["text"]) is None) is case["taken"]


@pytest.mark.parametrize("case", cases("times.json"))
def test_times(case: dict[str, Any]) -> None:
    seconds = fields.parse_time(case["until"])
    assert (None if seconds is None else fields.format_time(seconds)) == case["time"]
    assert (fields.timestamp(case["until"]) is None) is (case["time"] is not None)


@pytest.mark.parametrize("case", cases("fold.json"))
def test_fold(case: dict[str, Any]) -> None:
    view = View(now=0)
    for number, step in enumerate(case["steps"]):
        where = f"step {number}: {step}"
        if "watch" in step:
            assert view.watch(step["watch"], step.get("id")) == step["watch"] or step.get("id") is None, where
        if "unwatch" in step:
            view.unwatch(step["unwatch"])
        if "hello" in step:
            watch, cursor = view.hello()
            assert {"watch": watch} | ({"cursor": cursor} if cursor else {}) == step["hello"], where
        if "receive" in step:
            view.receive(JSON.decode_server(json.dumps(step["receive"]).encode()))
        if "lost" in step:
            view.lost(now=number)
        if "view" in step:
            assert {str(key): msgspec.to_builtins(entry) for key, entry in view.entries.items()} == step["view"], where
        if "cursor" in step:
            assert view.cursor == step["cursor"], where
        if "stale" in step:
            assert (view.stale_since is not None) is step["stale"], where


def frame(pieces: list[dict[str, Any]]) -> bytes:
    return b"".join(
        (piece["text"].encode() if "text" in piece else bytes.fromhex(piece["hex"])) * piece.get("times", 1)
        for piece in pieces
    )


def answer(codec: Codec, kind: str, state: State, data: bytes) -> dict[str, Any]:
    """What a server does about a client's frame, as docs/protocol.md has it."""
    if (kind == "binary") is not codec.is_binary:
        return {"close": CloseCode.MALFORMED}
    if kind == "text" and not is_utf8(data):
        return {"close": CloseCode.INVALID_PAYLOAD}
    try:
        message = codec.decode_client(data)
        advance(Role.SERVER, state, event_of(message))
    except InvalidMessage as invalid:
        if state is State.OPEN:
            return {"close": CloseCode.MALFORMED}
        named = {"error": invalid.error, "fields": [field for field, _ in invalid.details]}
        return {"error": {"code": 400} | named | ({} if invalid.id is None else {"id": invalid.id})}
    except Refused as refused:
        return {"error": {"code": 400, "error": refused.error, "id": message.id, "fields": ["type"]}}
    except (MalformedMessage, OutOfTurn):
        return {"close": CloseCode.MALFORMED}
    return {"accept": json.loads(JSON.encode(message))}


@pytest.mark.parametrize("case", cases("refusals.json"))
def test_refusals(case: dict[str, Any]) -> None:
    codec = {"json": JSON, "msgpack": MSGPACK}[case["codec"]]
    kind = case.get("kind", "binary" if codec.is_binary else "text")
    state = {"open": State.OPEN, "live": State.LIVE}[case["state"]]
    assert answer(codec, kind, state, frame(case["frame"])) == case["expected"]


@pytest.mark.parametrize("case", cases("messages.json"))
def test_messages(case: dict[str, Any]) -> None:
    packed = bytes.fromhex(case["msgpack"])
    assert msgpack.unpackb(packed) == case["message"]
    written = json.dumps(case["message"]).encode()
    decode = attrgetter(f"decode_{case['direction']}")
    message = decode(JSON)(written)
    assert decode(MSGPACK)(packed) == message
    assert event_of(message) == case["message"]["type"]
    assert json.loads(JSON.encode(message)) == case["message"]
    assert msgpack.unpackb(MSGPACK.encode(message)) == case["message"]


def test_every_message_has_a_vector() -> None:
    vectors = json.loads((VECTORS / "messages.json").read_text(encoding="utf-8"))
    for direction, events in (("client", CLIENT_EVENTS), ("server", SERVER_EVENTS)):
        assert {case["message"]["type"] for case in vectors["cases"] if case["direction"] == direction} == events


@pytest.mark.parametrize("case", cases("session.json"))
def test_session(case: dict[str, Any]) -> None:
    session = Session(Role[case["role"].upper()])
    for number, step in enumerate(case["steps"]):
        outcome = None
        try:
            if "send" in step:
                session.send(step["send"])
            elif not session.receive(step["receive"]):
                outcome = "ignored"
        except Refused as refused:
            outcome = refused.error
        except OutOfTurn:
            outcome = "out_of_turn"
        where = f"step {number}: {step}"
        assert outcome == step.get("outcome"), where
        assert session.state.name == step["state"], where
