"""The vectors of the core, as Python runs them; the browser SDK runs the same file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.core_vectors import PATH, Runner

VECTORS = json.loads(PATH.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in VECTORS["cases"]])
def test_events_in_actions_out(case: dict[str, Any]) -> None:
    runner = Runner(case, VECTORS)
    for number, step in enumerate(case["steps"]):
        where = f"step {number}: {step['event']} at {step['now']}"
        assert runner.step(step["event"], step["now"]) == step["expect"], where
        known = runner.known()
        for name in ("deadline", "view", "watched", "stale"):
            if name in step:
                assert known[name] == step[name], f"{name} after {where}"
