"""What both sides hold to stands in one place each, and others refer to it."""

from __future__ import annotations

import ast
from pathlib import Path

from presence_protocol.limits import MAX_BATCH, MAX_MESSAGE, MAX_WATCHED
from presence_protocol.paths import BASE_PATH, WS_PATH
from presence_server.application.hub_limits import HubLimits
from presence_server.settings import Settings

ROOT = Path(__file__).parents[2]
SOURCES = [*(ROOT / "server/presence_server").rglob("*.py"), *(ROOT / "client_sdk/python").rglob("*.py")]


def literals(file: Path) -> list[object]:
    """Numbers and strings in the code; docstrings are none."""
    tree = ast.parse(file.read_text("utf-8"))
    told = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in told]


def test_the_paths_are_what_is_documented() -> None:
    assert (BASE_PATH, WS_PATH) == ("/api/v1/presence", "/api/v1/presence/ws")


def test_the_path_stands_once() -> None:
    found = [file.name for file in SOURCES for value in literals(file) if isinstance(value, str) and BASE_PATH in value]
    assert found == ["paths.py"]


def test_settings_the_hub_and_the_protocol_have_the_same_defaults() -> None:
    settings, limits = Settings(), HubLimits()
    assert (settings.max_watched, settings.max_batch, settings.max_message) == (MAX_WATCHED, MAX_BATCH, MAX_MESSAGE)
    assert (limits.max_watched, limits.max_batch, limits.max_message) == (MAX_WATCHED, MAX_BATCH, MAX_MESSAGE)
