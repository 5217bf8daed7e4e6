"""docs/protocol.md says what the code says, and nothing else."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from presence_protocol import limits
from presence_protocol.close_codes import Advice, CloseCode, advice, ends_device
from presence_protocol.codec import CODECS, JSON
from presence_protocol.errors import InvalidMessage
from presence_protocol.feed import FeedDevice
from presence_protocol.fields import PLATFORMS, STATUSES
from presence_protocol.messages import (
    FIELDS,
    AnyClientMessage,
    AnyServerMessage,
    Deciding,
    Detail,
    Limits,
    Override,
    SelfDevice,
    StatusEntry,
)
from presence_protocol.session import CLIENT_EVENTS, REFUSALS, SERVER_EVENTS, State, event_of, mermaid
from presence_protocol.text import REFUSED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")

ERROR_CODES = {
    "invalid_request",
    "unknown_type",
    "already_greeted",
    "too_many_watched",
    "replaced",
    "forbidden",
    "too_many_requests",
    "unavailable",
}


def section(title: str) -> str:
    """The text under a heading, up to the next one of any level."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, f"no section {title}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of the tables in `text`, without their heads."""
    lines = re.sub(r"^\|.*\n\|[-|]+\|$", "", text, flags=re.MULTILINE).splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def blocks(language: str, text: str = PAGE) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def names(struct: type) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(struct)}


def documented_fields(title: str) -> dict[str, str]:
    return {row[0].strip("`"): row[1] for row in rows(section(title))}


# Replies that never carry an `id`: the field is inherited, not used.
WITHOUT_ID = {"self", "diff", "reconnect", "expiring"}

SUBFIELDS: dict[str, dict[str, Any]] = {
    "welcome": {"limits": Limits},
    "self": {
        "override": Override,
        "devices": SelfDevice,
        "statusBy": Deciding,
        "textBy": Deciding,
        "device": FeedDevice,
    },
    "error": {"details": Detail},
}

STRUCTS = {
    message.__struct_config__.tag: message
    for union in (AnyClientMessage, AnyServerMessage)
    for message in union.__args__
}


@pytest.mark.parametrize("name", sorted(CLIENT_EVENTS | SERVER_EVENTS))
def test_every_field_is_documented_and_no_other(name: str) -> None:
    expected = names(STRUCTS[name]) - ({"id"} if name in WITHOUT_ID else set())
    for field, struct in SUBFIELDS.get(name, {}).items():
        expected |= {f"{field}.{inner}" for inner in names(struct)}
    assert set(documented_fields(name)) == expected


@pytest.mark.parametrize("name", sorted(CLIENT_EVENTS))
def test_required_fields_are_those_not_called_optional(name: str) -> None:
    optional = {field for field, about in documented_fields(name).items() if "optional" in about}
    assert optional == {field for field, rule in FIELDS[name][1].items() if not rule.required}


@pytest.mark.parametrize("name", sorted(SERVER_EVENTS))
def test_what_a_server_may_leave_out_is_called_optional(name: str) -> None:
    structs = {"": STRUCTS[name]} | {f"{field}.": struct for field, struct in SUBFIELDS.get(name, {}).items()}
    may_be_absent = {
        prefix + field.encode_name
        for prefix, struct in structs.items()
        for field in msgspec.structs.fields(struct)
        if not field.required
    }
    if name in WITHOUT_ID | {"ok"}:
        may_be_absent -= {"id"}
    assert {field for field, about in documented_fields(name).items() if "optional" in about} == may_be_absent


def test_the_entry() -> None:
    assert set(documented_fields("Entry")) == names(StatusEntry)


def test_the_messages_are_listed_under_who_sends_them() -> None:
    headings = re.findall(r"^(##|###) (.+)$", PAGE, re.MULTILINE)
    listed: dict[str, set[str]] = {}
    chapter = ""
    for level, title in headings:
        if level == "##":
            chapter = title
        else:
            listed.setdefault(chapter, set()).add(title)
    assert listed["What a client sends"] == CLIENT_EVENTS
    assert listed["What a server sends"] == SERVER_EVENTS


@pytest.mark.parametrize("block", blocks("json"), ids=lambda block: block[:30].replace("\n", ""))
def test_examples_are_messages(block: str) -> None:
    raw = json.loads(block)
    decode = JSON.decode_client if raw["type"] in CLIENT_EVENTS else JSON.decode_server
    message = decode(block.encode())
    assert event_of(message) == raw["type"]
    assert json.loads(JSON.encode(message)) == raw


@pytest.mark.parametrize("name", sorted(CLIENT_EVENTS | SERVER_EVENTS))
def test_every_message_has_an_example(name: str) -> None:
    assert any(json.loads(block)["type"] == name for block in blocks("json", section(name)))


def test_the_diagram_is_drawn_from_the_table() -> None:
    assert blocks("mermaid") == [mermaid() + "\n"]


def test_the_drawing_script_leaves_the_page_as_it_is(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("draw_states", ROOT / "docs" / "draw_states.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = tmp_path / "protocol.md"
    page.write_text(re.sub(r"```mermaid\n.*?```", "```mermaid\nold\n```", PAGE, flags=re.DOTALL), encoding="utf-8")
    script.main(page)
    assert page.read_text(encoding="utf-8") == PAGE


def test_every_state_is_explained() -> None:
    assert [row[0] for row in rows(section("The session"))] == [state.name for state in State]


def test_close_codes() -> None:
    documented = {int(code): (name, what, ends) for code, name, _, what, ends in rows(section("Close codes"))}
    assert documented == {
        code.value: (code.name, advice(code).value, "yes" if ends_device(code) else "no") for code in CloseCode
    }
    assert all(f"*{each.value}*: " in section("Close codes") for each in Advice)


def test_close_codes_that_the_text_speaks_of_exist() -> None:
    ranges = {4400, 4499, 4500, 4599, 1011, 1014, 1015}  # of ranges
    spoken_of = {int(code) for code in re.findall(r"(?<![\d.])(4[45]\d\d|10[01]\d)(?!\d)", PAGE)}
    assert spoken_of - ranges <= set(CloseCode)


def test_limits() -> None:
    documented = {name.strip("`"): value for name, value, _ in rows(section("Limits"))}
    assert documented == {name: str(value) for name, value in vars(limits).items() if name.isupper()}


def test_subprotocols() -> None:
    assert [row[0].strip("`") for row in rows(section("Connecting"))][:2] == [codec.subprotocol for codec in CODECS]


def test_values() -> None:
    values = {row[0]: row[1] for row in rows(section("Values"))}
    assert set(re.findall(r"`([A-Z]+)`", values["platform"])) == set(PLATFORMS)
    assert set(re.findall(r"`([A-Z]+)`", values["status"])) == set(STATUSES)
    assert str(limits.MAX_USER_ID) in values["user id"]
    assert f"1 to {limits.MAX_DEVICE_ID} characters" in values["device id"]
    assert f"at most {limits.MAX_STATUS_TEXT} characters" in values["status text"]


def test_text() -> None:
    named = {int(point, 16) for row in rows(section("Text")) for point in re.findall(r"U\+([0-9A-F]+)", row[0])}
    plane_ends = set(range(0xFFFE, 0x110000, 0x10000)) | set(range(0xFFFF, 0x110000, 0x10000))
    bounds = {point for first, last, _ in REFUSED for point in (first, last)}
    assert named - plane_ends == bounds - plane_ends


def test_error_codes() -> None:
    documented = {row[0].strip("`") for row in rows(section("Errors"))}
    assert documented == ERROR_CODES
    assert set(REFUSALS.values()) <= documented
    for data in (b"{}", b'{"type":"x"}'):
        with pytest.raises(InvalidMessage) as refusal:
            JSON.decode_client(data)
        assert refusal.value.error in documented


def test_the_server_answers_with_no_other_error_codes() -> None:
    """By its source: what goes over a WebSocket is worded in the application."""
    sources = (ROOT / "server" / "presence_server" / "application").glob("*.py")
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    assert set(re.findall(r'refusal\(\s*\d+,\s*"(\w+)"|\berror="(\w+)"', text)) <= {
        pair for code in ERROR_CODES for pair in ((code, ""), ("", code))
    }


def test_links_lead_somewhere() -> None:
    anchors = {title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors


def test_the_vectors_are_all_mentioned() -> None:
    for path in (ROOT / "tests" / "vectors").glob("*.json"):
        assert f"`{path.name}`" in section("What a client has to do")
        assert json.loads(path.read_text(encoding="utf-8"))["about"]
