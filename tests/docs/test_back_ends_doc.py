"""The page for back ends: its code runs, and what it names is there."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from presence_client import webhooks
from presence_server.settings import Settings
from presence_server.webhooks.delivery import LONGEST_PAUSE, PATIENCE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "back-ends.md").read_text("utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


def test_the_statement_keeps_the_greatest_version() -> None:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE presence (user_id INTEGER PRIMARY KEY, status TEXT, text TEXT, version INTEGER)")
    for status, version in (("AWAY", 5), ("ONLINE", 4), ("AWAY", 5), ("BUSY", 6)):
        db.execute(block("sql"), (1, status, None, version))
    assert db.execute("SELECT * FROM presence").fetchall() == [(1, "BUSY", None, 6)]
    db.close()


def test_the_receiver_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESENCE_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    names = {name: getattr(webhooks, name) for name in webhooks.__all__}
    scope: dict[str, Any] = names | {"os": os, "Mapping": Mapping, "store": None}
    exec(compile(block("python"), "docs/back-ends.md", "exec"), scope)
    assert scope["receive"](b"{}", {}) == 400


def test_what_it_says_of_times_and_settings_is_so() -> None:
    assert (PATIENCE, LONGEST_PAUSE) == (24 * 3600, 300)
    for flag in re.findall(r"`--([a-z-]+)", PAGE):
        assert hasattr(Settings(), flag.replace("-", "_")), flag
