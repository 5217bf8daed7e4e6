"""Both codecs, against the independent `msgpack` and `json` packages. The refusals are in `vectors/refusals.json`."""

import json
from typing import Any

import msgpack  # type: ignore[import-untyped]
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_protocol import fields, limits
from presence_protocol.codec import CODECS, JSON, MSGPACK, SERVER_TYPES, Codec
from presence_protocol.errors import InvalidMessage, MalformedMessage
from presence_protocol.messages import (
    FIELDS,
    Activity,
    AnyClientMessage,
    AnyServerMessage,
    Bye,
    Detail,
    Diff,
    Error,
    Hello,
    Limits,
    Ok,
    Override,
    Ping,
    Pong,
    Query,
    Reconnect,
    SelfChanged,
    SelfDevice,
    SelfView,
    SetStatus,
    Snapshot,
    StatusEntry,
    Statuses,
    Unwatch,
    Watch,
    Welcome,
)
from presence_protocol.session import SERVER_EVENTS

user_ids = st.integers(1, limits.MAX_USER_ID)
message_ids = st.none() | st.integers(-limits.MAX_USER_ID, limits.MAX_USER_ID)
statuses = st.sampled_from(fields.STATUSES)
platforms = st.sampled_from(fields.PLATFORMS)
printable = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=limits.MAX_DEVICE_ID)
times = st.integers(0, 253_402_300_799).map(fields.format_time)
texts = st.text(st.characters(codec="utf-8"))
id_lists = st.lists(user_ids)
maybe = st.none().__or__

hellos = {
    "id": message_ids,
    "token": maybe(texts),
    "idle": maybe(st.booleans()),
    "idle_for_ms": maybe(st.integers(0, limits.MAX_IDLE_FOR)),
    "status": maybe(statuses),
    "watch": maybe(id_lists),
    "cursor": maybe(texts),
}
client_messages: st.SearchStrategy[AnyClientMessage] = st.one_of(
    st.builds(Hello, user_id=user_ids, device_id=printable, platform=platforms, **hellos),
    st.builds(Hello, observer=st.just(True), **hellos),
    st.builds(Watch, id=message_ids, user_ids=id_lists),
    st.builds(Unwatch, id=message_ids, user_ids=id_lists),
    st.builds(Query, id=message_ids, user_ids=id_lists),
    st.builds(SetStatus, id=message_ids, status=maybe(statuses), until=maybe(times), status_text=maybe(printable)),
    st.builds(Activity, id=message_ids, idle=st.booleans(), idle_for_ms=maybe(st.integers(0, limits.MAX_IDLE_FOR))),
    st.builds(Ping, id=message_ids),
    st.builds(Bye, id=message_ids),
)

entries = st.builds(
    StatusEntry,
    user_id=user_ids,
    status=statuses,
    platforms=st.lists(platforms, unique=True),
    last_active_time=maybe(times),
    version=st.integers(0, 2**53 - 1),
    status_text=maybe(texts),
)
overrides = st.builds(Override, status=statuses, until=maybe(times))
devices = st.builds(SelfDevice, device_id=texts, platform=platforms, online_time=times, idle=st.booleans())
selves = {
    "user_id": user_ids,
    "status": statuses,
    "override": maybe(overrides),
    "devices": st.lists(devices, max_size=3),
}
entry_lists = st.lists(entries, max_size=4)
server_messages: st.SearchStrategy[AnyServerMessage] = st.one_of(
    st.builds(
        Welcome,
        id=message_ids,
        session_id=texts,
        server_time=times,
        continued=st.booleans(),
        resumed=st.booleans(),
        self_=maybe(st.builds(SelfView, **selves)),
        limits=st.builds(Limits, *[st.integers(0, 2**31)] * 5),
    ),
    st.builds(SelfChanged, **selves),
    st.builds(Snapshot, id=message_ids, statuses=entry_lists, more=st.booleans(), cursor=maybe(texts)),
    st.builds(Diff, changes=entry_lists, cursor=texts),
    st.builds(Statuses, id=message_ids, statuses=entry_lists),
    st.builds(Ok, id=message_ids),
    st.builds(Pong, id=message_ids),
    st.builds(
        Error,
        id=message_ids,
        code=st.integers(400, 599),
        error=texts,
        message=texts,
        details=maybe(st.lists(st.builds(Detail, field=texts, reason=texts), max_size=3)),
    ),
    st.builds(Reconnect, after_ms=st.integers(0, 60_000), reason=texts),
)


def unpack(codec: Codec, data: bytes) -> Any:
    return msgpack.unpackb(data) if codec.is_binary else json.loads(data)


def pack(codec: Codec, raw: Any) -> bytes:
    packed: bytes = msgpack.packb(raw) if codec.is_binary else json.dumps(raw).encode()
    return packed


@pytest.mark.parametrize("codec", CODECS)
@given(message=client_messages)
def test_what_a_client_sends_arrives(codec: Codec, message: AnyClientMessage) -> None:
    assert codec.decode_client(codec.encode(message)) == message
    # ... also when an independent encoder wrote it.
    assert codec.decode_client(pack(codec, unpack(codec, codec.encode(message)))) == message


@pytest.mark.parametrize("codec", CODECS)
@given(message=server_messages)
def test_what_a_server_sends_arrives(codec: Codec, message: AnyServerMessage) -> None:
    assert codec.decode_server(codec.encode(message)) == message
    assert codec.decode_server(pack(codec, unpack(codec, codec.encode(message)))) == message


@given(message=client_messages | server_messages)
def test_both_codecs_say_the_same(message: AnyClientMessage | AnyServerMessage) -> None:
    assert unpack(JSON, JSON.encode(message)) == unpack(MSGPACK, MSGPACK.encode(message))


@given(message=client_messages | server_messages)
def test_what_is_absent_is_left_out(message: AnyClientMessage | AnyServerMessage) -> None:
    raw = unpack(JSON, JSON.encode(message))
    nulls = {key for key, value in raw.items() if value is None}
    assert nulls <= {"self", "override"} | (set(raw) if raw["type"] == "status" else set())


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 65_535, 65_536, 70_000])
def test_a_diff_of_encoded_entries_is_the_diff_encoded_whole(codec: Codec, count: int) -> None:
    changes = [
        StatusEntry(user_id=number + 1, status="AWAY", platforms=["PC"], last_active_time=None, version=number)
        for number in range(count)
    ]
    cursor = "k3J-_9.~" * 5
    joined = b"".join(codec.diff([codec.encode(entry) for entry in changes], cursor))
    assert joined == codec.encode(Diff(changes=changes, cursor=cursor))


@pytest.mark.parametrize("codec", CODECS)
@given(changes=entry_lists)
def test_a_diff_of_any_encoded_entries_arrives(codec: Codec, changes: list[StatusEntry]) -> None:
    joined = b"".join(codec.diff([codec.encode(entry) for entry in changes], "c1"))
    assert codec.decode_server(joined) == Diff(changes=changes, cursor="c1")


@pytest.mark.parametrize("codec", CODECS)
@given(data=st.binary(max_size=64))
def test_any_bytes_get_a_message_or_a_clear_refusal(codec: Codec, data: bytes) -> None:
    for decode in (codec.decode_client, codec.decode_server):
        try:
            decode(data)
        except (MalformedMessage, InvalidMessage) as refusal:
            assert str(refusal)  # noqa: PT017  # bytes that happen to be a message are fine


@pytest.mark.parametrize("codec", CODECS)
@given(message=client_messages, cut=st.integers(0, 200), flip=st.integers(0, 255))
def test_damaged_messages_get_a_message_or_a_clear_refusal(
    codec: Codec, message: AnyClientMessage, cut: int, flip: int
) -> None:
    data = bytearray(codec.encode(message))
    data[cut % len(data)] ^= flip
    try:
        codec.decode_client(bytes(data))
    except (MalformedMessage, InvalidMessage) as refusal:
        assert str(refusal)  # noqa: PT017


def test_a_malformed_message_names_the_encoding() -> None:
    for codec in CODECS:
        with pytest.raises(MalformedMessage, match=f"^not {codec.name}: "):
            codec.decode_client(b"\xc1")


def test_a_byte_order_mark_is_named() -> None:
    with pytest.raises(MalformedMessage, match="byte order mark"):
        JSON.decode_client(b'\xef\xbb\xbf{"type":"ping"}')


def test_a_client_ignores_fields_that_a_newer_server_adds() -> None:
    raw = {"type": "diff", "changes": [], "cursor": "c", "colour": "red"}
    assert JSON.decode_server(json.dumps(raw).encode()) == Diff(changes=[], cursor="c")


def test_a_client_bears_platforms_that_a_newer_server_adds() -> None:
    entry = {"userId": 1, "status": "ONLINE", "platforms": ["TV"], "lastActiveTime": None, "version": 1}
    message = JSON.decode_server(json.dumps({"type": "diff", "changes": [entry], "cursor": "c"}).encode())
    assert isinstance(message, Diff)
    assert message.changes[0].platforms == ["TV"]


@pytest.mark.parametrize("codec", CODECS)
def test_a_message_that_a_newer_server_adds_can_be_told_from_a_broken_one(codec: Codec) -> None:
    with pytest.raises(InvalidMessage) as unknown:
        codec.decode_server(pack(codec, {"type": "topic", "anything": 1}))
    assert unknown.value.error == "unknown_type"
    for broken in ({"type": "diff", "changes": []}, {"type": "diff", "changes": [1], "cursor": "c"}, {}, {"type": 1}):
        with pytest.raises(MalformedMessage):
            codec.decode_server(pack(codec, broken))
    with pytest.raises(MalformedMessage):
        codec.decode_server(b"")
    with pytest.raises(MalformedMessage):
        codec.decode_server(pack(codec, ["diff"]))


def test_what_the_words_miss_but_the_types_refuse_is_still_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    class Strict(msgspec.Struct, tag_field="type", tag="ping"):
        id: str

    monkeypatch.setitem(FIELDS, "ping", (Strict, FIELDS["ping"][1]))
    with pytest.raises(InvalidMessage) as invalid:
        JSON.decode_client(b'{"type":"ping","id":3,"unknown":0}')
    assert (invalid.value.error, invalid.value.id) == ("invalid_request", 3)
    assert invalid.value.details[0].field == "ping"


def test_server_types_are_the_session_s() -> None:
    assert SERVER_TYPES == SERVER_EVENTS


def test_codecs_are_told_apart_at_a_glance() -> None:
    assert [repr(codec) for codec in CODECS] == ["<Codec json>", "<Codec msgpack>"]
