"""The shared vectors, as Python runs them. What a step means stands in the `about` of each file."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from presence_protocol.close_codes import advice, ends_device
from presence_protocol.codec import JSON
from presence_protocol.view import View

VECTORS = Path(__file__).parent.parent / "vectors"


def cases(name: str) -> list[Any]:
    vectors = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    return [pytest.param(case, id=str(case.get("name", case.get("code")))) for case in vectors["cases"]]


@pytest.mark.parametrize("case", cases("close_codes.json"))
def test_close_codes(case: dict[str, Any]) -> None:
    assert advice(case["code"]).value == case["advice"]
    assert ends_device(case["code"]) is case["ends_device"]


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
