"""The import arrows of the house: domain knows nobody, application knows domain, the shells know application.

No arrow leads back: modules import each other in no circle, imports for types included.
"""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = {
    "presence_server": ROOT / "server",
    "presence_protocol": ROOT / "client_sdk/python",
    "presence_client": ROOT / "client_sdk/python",
}
# Pure means: time, chance and the world come in as arguments.
IMPURE = {
    "asyncio",
    "threading",
    "time",
    "random",
    "secrets",
    "uuid",
    "os",
    "io",
    "socket",
    "ssl",
    "select",
    "selectors",
}
IMPURE |= {"pathlib", "tempfile", "shutil", "subprocess", "signal", "sys", "logging", "http", "urllib", "datetime"}
# module -> what of ours it may import, or else what it may not
MAY = {
    "presence_server.domain": ("presence_server.domain",),
    "presence_server.application": ("presence_server.domain", "presence_server.application", "presence_protocol"),
    "presence_protocol": ("presence_protocol",),
    "presence_client": ("presence_client", "presence_protocol"),
}
MAY_NOT = {
    "presence_server": ("presence_client",),
    "presence_server.engines": ("presence_server.transports", "presence_server.app", "presence_server.__main__"),
    "presence_server.identity": (
        "presence_server.engines",
        "presence_server.transports",
        "presence_server.access",
        "presence_server.app",
        "presence_server.process",
        "presence_server.__main__",
    ),
    "presence_server.webhooks": (
        "presence_server.engines",
        "presence_server.transports",
        "presence_server.access",
        "presence_server.app",
        "presence_server.process",
        "presence_server.__main__",
    ),
    "presence_server.transports": ("presence_server.engines", "presence_server.app", "presence_server.__main__"),
}


@cache
def modules() -> dict[str, Path]:
    """The file of every module of ours, by its name."""
    found = {}
    for package, root in SOURCES.items():
        for file in (root / package).rglob("*.py"):
            name = ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            found[name] = file
    return found


def imported_by(file: Path) -> set[str]:
    """The modules of ours that `file` imports, wherever in it the import stands; a package only for what is in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                found.add(module if module in modules() else str(node.module))
    return found & modules().keys()


def circle_in(arrows: dict[str, set[str]]) -> list[str]:
    """The modules of a circle in their order, the first once more at its end; empty if there is none."""
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as failure:
        circle: list[str] = failure.args[1]
        return circle[::-1]
    return []


def is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def imports(package: str) -> list[tuple[str, str]]:
    """(file, imported module) of every import in `package`, wherever in its files it stands."""
    path = SOURCES[package.split(".")[0]] / package.replace(".", "/")
    found = []
    for file in sorted(path.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found += [(file.name, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{file}: a relative import hides where it leads"
                # `from presence_server import app` imports a module too
                found += [(file.name, f"{node.module}.{alias.name}") for alias in node.names]
    return found


@pytest.mark.parametrize("package", MAY)
def test_a_package_imports_of_ours_only_what_lies_beneath_it(package: str) -> None:
    ours = [(file, module) for file, module in imports(package) if is_in(module, tuple(SOURCES))]
    assert [(file, module) for file, module in ours if not is_in(module, MAY[package])] == []


@pytest.mark.parametrize("package", MAY_NOT)
def test_a_shell_imports_neither_its_neighbours_nor_what_puts_them_together(package: str) -> None:
    assert [(file, module) for file, module in imports(package) if is_in(module, MAY_NOT[package])] == []


def test_the_domain_is_pure() -> None:
    found = imports("presence_server.domain")
    assert found, "the domain was looked for in the wrong place"
    assert [(file, module) for file, module in found if module.split(".")[0] in IMPURE] == []


def test_no_module_imports_in_a_circle_not_even_for_types() -> None:
    arrows = {module: imported_by(file) for module, file in modules().items()}
    assert sum(map(len, arrows.values())) > 300, "the imports were looked for in the wrong place"
    assert circle_in(arrows) == []


def test_a_circle_is_found() -> None:
    assert circle_in({"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": set()}) in (
        ["a", "b", "c", "a"],
        ["b", "c", "a", "b"],
        ["c", "a", "b", "c"],
    )
