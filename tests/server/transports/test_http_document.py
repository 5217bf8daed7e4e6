"""The API document to the letter: each of its examples, field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.rest import Rest, times_replaced
from support.server import run_server

EXAMPLES = json.loads((Path(__file__).parents[2] / "vectors" / "rest_examples.json").read_text())["examples"]


@pytest.fixture(scope="module")
def rest() -> Iterator[Rest]:
    with run_server() as server:
        yield Rest(server)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["name"])
def test_an_example_of_the_document(rest: Rest, example: dict[str, Any]) -> None:
    _bring_about(rest, example)
    answer = rest.call(example["method"], example["path"], example.get("request"))
    assert answer.status == example["response"]["code"]
    # As text, so that the order of the fields is the document's as well.
    assert json.dumps(times_replaced(answer.json)) == json.dumps(times_replaced(example["response"]))


def _bring_about(rest: Rest, example: dict[str, Any]) -> None:
    """Each example stands alone: its user is online, and so is whoever it mentions."""
    if example["name"] != "online":
        assert rest.online(10001, "device_123").status == 200
    for step in example.get("given", ()):
        assert rest.post(step["path"], step["request"]).status == 200


def test_the_statuses_and_platforms_of_the_document_are_all_there_are(rest: Rest) -> None:
    schemas = rest.document["components"]["schemas"]
    assert set(schemas["Presence"]["properties"]["status"]["enum"]) == {"ONLINE", "OFFLINE", "AWAY", "BUSY"}
    assert set(schemas["Device"]["properties"]["platform"]["enum"]) == {"WEB", "IOS", "ANDROID", "PC"}
    for number, platform in enumerate(("WEB", "IOS", "ANDROID", "PC")):
        rest.online(10010, f"device {number}", platform)
    devices = rest.get("/status/10010").data["devices"]
    assert [device["platform"] for device in devices] == ["WEB", "IOS", "ANDROID", "PC"]
