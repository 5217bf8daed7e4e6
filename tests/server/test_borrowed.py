"""A library that has lost what this server uses of it is refused at start, in one line."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from presence_server.borrowed import BORROWED, Borrowed, missing

SERVER = Path(__file__).parents[2] / "server/presence_server"
NAMES = [(library, one, name) for library, owners in BORROWED.items() for one in owners for name in one.names]

START = """
import websockets.frames
del websockets.frames.apply_mask
from presence_server.__main__ import main
main()
"""


class Without:
    """`whole`, but for one name."""

    def __init__(self, whole: object, name: str) -> None:
        self._whole, self._name = whole, name

    def __getattr__(self, name: str) -> object:
        if name == self._name:
            raise AttributeError(name)
        return getattr(self._whole, name)


def test_the_installed_versions_have_all_of_it() -> None:
    assert missing() is None


@pytest.mark.parametrize(("library", "owner", "name"), NAMES, ids=[f"{one.owner}.{name}" for _, one, name in NAMES])
def test_each_name_is_looked_for(library: str, owner: Borrowed, name: str) -> None:
    without = Borrowed(owner.owner, lambda: Without(owner.make(), name), owner.names)
    version = metadata.version(library)
    told = missing({library: [without]})
    assert told == f"{library} {version} has no {owner.owner}.{name}, which this server uses: install another version"


def test_what_cannot_be_made_any_more_is_told_as_well() -> None:
    def make() -> object:
        raise TypeError("unexpected keyword argument 'max_size'")

    told = missing({"websockets": [Borrowed("ServerProtocol", make, ())]})
    assert told is not None
    assert "unexpected keyword argument 'max_size'" in told


def test_a_server_whose_library_lacks_a_name_says_so_in_one_line_and_ends() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", START, "--port", "0"], capture_output=True, text=True, timeout=60, check=False
    )
    version = metadata.version("websockets")
    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [
        f"presence-server: websockets {version} has no websockets.frames.apply_mask, which this server uses: "
        "install another version"
    ]


def test_every_name_that_is_imported_of_these_libraries_is_in_the_list() -> None:
    listed = {f"{one.owner}.{name}" for _, one, name in NAMES}
    imported = set()
    for file in SERVER.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text("utf-8"))))
        modules = {
            alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names
        } & BORROWED.keys()
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in BORROWED:
                imported |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
                imported.add(f"{node.value.id}.{node.attr}")
    assert len(imported) > 20, "the imports were looked for in the wrong place"
    assert imported - listed == set()
