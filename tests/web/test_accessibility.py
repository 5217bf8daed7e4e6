"""What axe finds on the pages, in a real browser: nothing, in both themes, at three widths, in both languages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from .conftest import Tab, ids

AXE = Path(__file__).parents[1] / "node" / "node_modules" / "axe-core" / "axe.min.js"
WIDTHS = [1280, 768, 375]


OF_SWAGGER_UI = ("heading-order", "landmark-unique", "nested-interactive", "region", "select-name")
"""What is to be mended where it is made: what it builds cannot be changed from outside."""


def violations(page: Page, but: Sequence[str] = ()) -> list[str]:
    """What axe finds wrong, one line each; its rules for good practice are included. `but`: rules left out."""
    page.evaluate(AXE.read_text("utf-8"))
    options = {"resultTypes": ["violations", "passes"], "rules": {rule: {"enabled": False} for rule in but}}
    found: dict[str, Any] = page.evaluate("(options) => axe.run(document, options)", options)
    assert len(found["passes"]) > 20, "axe looked at next to nothing"
    return [f"{rule['id']}: {rule['help']}: {node['target']}" for rule in found["violations"] for node in rule["nodes"]]


def dress(page: Page, width: int, scheme: str) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    # Colours in the midst of a transition are nobody's.
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_axe_finds_nothing_wrong_with_the_page(tab: Tab, width: int, scheme: str, language: str) -> None:
    a, b, c, d = ids.take(4)
    dress(tab.page, width, scheme)
    tab.open([a, a, b, c], watch=[d], language=language)
    tab.by(f"status-text-{a}").fill("in a meeting")
    tab.press("busy", a)
    tab.wait_to_see(b, a, "BUSY")
    tab.press("idle", b)
    tab.wait_to_see(a, b, "AWAY")
    tab.press("pull", b)
    tab.press("leave", c)
    tab.wait_to_see(a, b, "OFFLINE", within=15)
    assert violations(tab.page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_wrong_with_many_cards(tab: Tab, scheme: str) -> None:
    people = ids.take(12)
    dress(tab.page, 1280, scheme)
    tab.open(people)
    tab.press("pull", people[1])
    tab.wait_for_link(people[1], "waiting")
    assert violations(tab.page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_wrong_with_the_api_documentation_that_is_ours(tab: Tab, width: int, scheme: str) -> None:
    dress(tab.page, width, scheme)
    tab.page.goto(f"{tab.url}/docs")
    for name in ("online", "setStatus", "clearStatus", "connect"):
        tab.page.locator(f"#operations-presence-{name} .opblock-summary-control").click()
        tab.page.locator(f"#operations-presence-{name} .responses-wrapper").wait_for()
    assert violations(tab.page, OF_SWAGGER_UI) == []
