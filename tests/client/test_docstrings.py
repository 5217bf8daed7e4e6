"""Every public name says what it is, in which units, and what it raises."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest

import presence_client
from presence_client import testing

PUBLIC = {name: getattr(presence_client, name) for name in presence_client.__all__} | {
    name: getattr(testing, name) for name in testing.__all__
}
OURS = ("presence_client", "presence_protocol")


def members(owner: type) -> Iterator[tuple[str, Any]]:
    for name, member in vars(owner).items():
        if name.startswith("_") and name not in ("__init__", "__aenter__"):
            continue
        if isinstance(member, property):
            yield name, member.fget
        elif inspect.isfunction(member) and member.__module__.startswith(OURS):
            yield name, member


def documented() -> Iterator[tuple[str, Any]]:
    for name, thing in PUBLIC.items():
        yield name, thing
        is_plain = inspect.isclass(thing) and (hasattr(thing, "__struct_fields__") or issubclass(thing, Exception))
        if inspect.isclass(thing) and not is_plain:
            yield from ((f"{name}.{member}", found) for member, found in members(thing))


@pytest.mark.parametrize(
    ("name", "thing"), list(documented()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_it_has_a_docstring_of_its_own(name: str, thing: Any) -> None:
    text = inspect.getdoc(thing) if not inspect.isclass(thing) else thing.__doc__
    assert text, name
    assert len(text.split()) >= 4, f"{name}: {text}"


def test_whatever_takes_or_gives_a_duration_names_its_unit() -> None:
    silent = []
    for name, thing in documented():
        if not inspect.isfunction(thing):
            continue
        parameters = set(inspect.signature(thing).parameters) & {"timeout", "seconds", "after", "wait", "idle_for"}
        text = inspect.getdoc(thing) or ""
        if parameters and not re.search(r"second|Raises what|as of `|`wait`: 0 to 60", text):
            silent.append((name, parameters))
    assert silent == []


def test_whatever_is_asked_of_a_server_names_its_errors() -> None:
    for name, thing in members(presence_client.PresenceClient):
        if inspect.iscoroutinefunction(thing) and not name.startswith("__aexit"):
            assert "Raises" in (inspect.getdoc(thing) or ""), name
    assert "Every method raises" in (importlib.import_module("presence_client.api").__doc__ or "")


def test_the_errors_are_the_tree_in_their_module() -> None:
    errors = importlib.import_module("presence_client.errors")
    drawn = set(re.findall(r"^\+?-* ?([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE)) - {"What", "Arguments"}
    defined = {name for name, thing in vars(errors).items() if inspect.isclass(thing) and issubclass(thing, Exception)}
    assert defined == drawn
    assert all(issubclass(getattr(errors, name), presence_client.PresenceError) for name in defined)


def test_every_module_says_why_it_exists() -> None:
    for module in pkgutil.walk_packages(presence_client.__path__, "presence_client."):
        if module.name != "presence_client.__main__":
            assert importlib.import_module(module.name).__doc__, module.name


def test_the_core_is_pure() -> None:
    """Time and chance come in as arguments, so that a simulator can run it."""
    pure = "actions address attempts backoff changes conversation core errors identity proxies redirects"
    pure += " http_exchange rest_link watchlist"
    for name in pure.split():
        source = inspect.getsource(importlib.import_module(f"presence_client.{name}"))
        imported = re.findall(r"^\s*(?:from|import) (\w+)", source, re.MULTILINE)
        assert set(imported) <= {
            "base64", "collections", "dataclasses", "enum", "ipaddress", "math", "msgspec", "presence_client",
            "presence_protocol", "re", "typing", "urllib",
        }, name  # fmt: skip
