"""A small checker of JSON schemas, for what `/openapi.json` uses of them."""

from __future__ import annotations

import re
from typing import Any

TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
    "null": type(None),
}


def check(value: Any, schema: dict[str, Any], document: dict[str, Any], path: str = "$") -> None:
    """Raise AssertionError if `value` does not fit `schema`."""
    if "$ref" in schema:
        schema = resolve(schema["$ref"], document)
    if "const" in schema:
        assert value == schema["const"], f"{path}: {value!r}"
    if "enum" in schema:
        assert value in schema["enum"], f"{path}: {value!r}"
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        fits = any(isinstance(value, TYPES[name]) and (name == "boolean") == isinstance(value, bool) for name in names)
        assert fits, f"{path}: {value!r} is not {names}"
    if isinstance(value, int) and not isinstance(value, bool):
        assert schema.get("minimum", value) <= value <= schema.get("maximum", value), path
    if isinstance(value, str) and "pattern" in schema:
        assert re.search(schema["pattern"], value), f"{path}: {value!r}"
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        assert set(schema.get("required", ())) <= value.keys(), f"{path}: {sorted(value)}"
        if schema.get("additionalProperties") is False:
            assert value.keys() <= properties.keys(), f"{path}: {sorted(value)}"
        for name, item in value.items():
            check(item, properties.get(name, {}), document, f"{path}.{name}")
    if isinstance(value, list):
        for index, item in enumerate(value):
            check(item, schema.get("items", {}), document, f"{path}[{index}]")


def resolve(reference: str, document: dict[str, Any]) -> dict[str, Any]:
    found: Any = document
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    result: dict[str, Any] = found
    return result


def check_answer(document: dict[str, Any], method: str, path: str, status: int, body: Any) -> None:
    """Raise AssertionError if the document does not say that `method` on `path` may be answered like this."""
    operation = next(
        methods[method.lower()]
        for template, methods in document["paths"].items()
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in methods
    )
    answer = operation["responses"][str(status)]
    if "$ref" in answer:
        answer = resolve(answer["$ref"], document)
    check(body, answer["content"]["application/json"]["schema"], document)
