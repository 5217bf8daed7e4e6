"""The README, the tour and the page on REST: what they show is played, and their tables are held to the code."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from presence_protocol.session import CLIENT_EVENTS, SERVER_EVENTS
from presence_server.settings import Settings, start_line
from presence_server.transports.rest.envelope import ERRORS
from support.server import BASE, Server, run_server

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh.md").read_text(encoding="utf-8")
TOUR = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
REST = (ROOT / "docs" / "rest.md").read_text(encoding="utf-8")
PAGES = ["README.md", "README.zh.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/tour.md", "docs/rest.md"]
PAGES += ["docs/back-ends.md", "docs/design.md", "docs/operations.md", "docs/protocol.md", "docs/security.md"]

MASKS = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<time>"),
    (r'("version": ?)[1-9]\d*', r"\1<version>"),
    (r'("cursor": ?)"[^"]+"', r'\1"<cursor>"'),
)
"""What differs from run to run."""


class Block(NamedTuple):
    language: str
    text: str


def section(title: str, page: str = PAGE) -> str:
    found = re.search(rf"^##? {re.escape(title)}\n(.*?)(?=^##? |\Z)", page, re.DOTALL | re.MULTILINE)
    assert found, f"no section {title}"
    return found[1]


def blocks(text: str) -> list[Block]:
    return [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)]


def rows(text: str) -> list[list[str]]:
    """The cells of the tables in `text`, without their heads."""
    lines = re.sub(r"^\|.*\n\|[-|]+\|$", "", text, flags=re.MULTILINE).splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def masked(language: str, text: str) -> str:
    if language == "json":
        text = json.dumps(json.loads(text), ensure_ascii=False, indent=1)
    for pattern, mask in MASKS:
        text = re.sub(pattern, mask, text)
    return text.strip()


# -- the tour --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(grace_period=1) as server:
        yield server


def play(command: str, server: Server) -> str:
    """Run what the tour says to type, against `server` instead of the usual port. Returns standard output."""
    script = command.replace("127.0.0.1:8004", f"127.0.0.1:{server.port}")
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def played(tour: list[Block], server: Server, least: int) -> None:
    """Every command does what is shown below it; there are at least so many."""
    commands = [index for index, block in enumerate(tour) if block.language == "sh"]
    assert len(commands) >= least
    for index in commands:
        shown = tour[index + 1]
        assert shown.language in ("json", "text"), "each command is followed by what it prints"
        printed = play(tour[index].text, server)
        assert masked(shown.language, printed) == masked(shown.language, shown.text)


def test_every_command_of_the_tour_does_what_is_shown(server: Server) -> None:
    played(blocks(TOUR), server, 5)


def test_every_command_of_the_readme_does_what_is_shown() -> None:
    with run_server() as fresh:
        played(blocks(PAGE), fresh, 2)


@pytest.mark.parametrize("page", [PAGE, CHINESE, TOUR], ids=["English", "Chinese", "tour"])
def test_the_start_line_is_as_shown(page: str) -> None:
    shown = next(block.text.strip() for block in blocks(page) if block.text.startswith("presence-server "))
    connections = re.search(r"up to (\d+) connections", shown)
    assert connections is not None
    assert shown == start_line(Settings(), "http://127.0.0.1:8004/", int(connections[1]))


def test_the_chinese_readme_keeps_step() -> None:
    """The same code, the same links and the same tables under as many headings, in the same order."""
    assert blocks(CHINESE) == blocks(PAGE)
    headings = [re.findall(r"^(#+) ", page, re.MULTILINE) for page in (PAGE, CHINESE)]
    assert headings[0] == headings[1]
    links = [re.findall(r"\]\(([^)]+)\)|<(http[^>]+)>", page) for page in (PAGE, CHINESE)]
    other = {("README.zh.md", ""): ("README.md", "")}
    assert [other.get(link, link) for link in links[0]] == links[1]
    tables = [[len(row) for row in rows(page)] for page in (PAGE, CHINESE)]
    assert tables[0] == tables[1]
    figures = [sorted(re.findall(r"\d[\d,.]*\d|\d", section(title, page))) for title, page in COSTS]
    assert figures[0] == figures[1]


COSTS = (("What it costs", PAGE), ("成本", CHINESE))


def test_the_two_commands_are_targets_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = re.findall(r"(?:^|`)make (\w+)", PAGE, re.MULTILINE)
    assert {"serve", "test", "check"} <= set(named)
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


# -- tables ----------------------------------------------------------------------------------------------------------


def test_every_rest_path_is_there(server: Server) -> None:
    """A body of `{}` is refused or not, but by the endpoint: neither the path nor the method is."""
    endpoints = [row[0].strip("`").split() for row in rows(section("REST", REST))]
    assert len(endpoints) >= 31
    for method, path in endpoints:
        if path == "/events":  # which goes on
            assert server.request("HEAD", path).status == 200
            continue
        called = path.format(userId=1, source="self", name="none")
        answer = server.request(method, called, None if method == "GET" else {})
        if answer.status == 404:  # the endpoint's word: there is no webhook of that name
            assert [detail["field"] for detail in answer.data["details"]] == ["name"], path
        else:
            assert answer.status in (200, 400, 409), path  # 409: contacts decide nothing here
        assert set(answer.json) == {"code", "message", "data"}


def test_the_rest_table_and_openapi_name_the_same_operations(server: Server) -> None:
    operations = {
        f"{method.upper()} {path.removeprefix(BASE)}"
        for path, methods in server.get("//openapi.json").json["paths"].items()
        for method in methods
        if path.startswith(BASE) and not path.endswith("/ws")  # which has a section of its own
    }
    assert operations == {row[0].strip("`") for row in rows(section("REST", REST))}


def test_the_rest_error_codes() -> None:
    # The table's 404 is a special one; the list of codes begins below it.
    listed = section("REST", REST).rpartition("stable English code")[2]
    named = {int(status): error for status, error in re.findall(r"\b(\d{3})\s+`(\w+)`", listed)}
    assert len(named) >= 8
    assert named == {status: ERRORS[status][0] for status in named}


def test_the_documents_five_come_first() -> None:
    first = [row[0].strip("`") for row in rows(section("REST", REST))][:5]
    assert first == [
        "POST /online",
        "POST /offline",
        "GET /status/{userId}",
        "POST /status/batch",
        "POST /heartbeat",
    ]
    assert BASE in section("REST", REST)


def test_every_path_at_the_root_is_there(server: Server) -> None:
    for path in ("/openapi.json", "/healthz", "/readyz", "/metrics", "/"):
        assert f"`{path}`" in section("REST", REST)
        assert server.request("GET", f"/{path}").status == 200


def test_every_message_is_named() -> None:
    named: set[str] = set()
    for row in rows(section("The protocol in one screen", REST)):
        named |= set(re.findall(r"`(\w+)`", row[0]))
    assert named == CLIENT_EVENTS | SERVER_EVENTS


# -- links -----------------------------------------------------------------------------------------------------------


def anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
