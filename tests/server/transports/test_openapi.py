"""`/openapi.json` as a document: complete, consistent, and with the API document's own examples.

That the server's answers fit it is shown by every other REST test: see `support.rest.Rest`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from presence_server.transports.rest.envelope import ERRORS
from support.rest import Rest, mismatches, resolve
from support.server import BASE, run_server

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "rest_examples.json").read_text())["examples"]


@pytest.fixture(scope="module")
def rest() -> Iterator[Rest]:
    with run_server(max_batch=77, max_watched=88) as server:
        yield Rest(server)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_endpoint_is_there(rest: Rest) -> None:
    assert rest.document["openapi"].startswith("3.1.")
    found = {(method, path.removeprefix(BASE)) for path, method, _ in operations(rest.document)}
    assert found == {
        ("post", "/online"),
        ("post", "/offline"),
        ("post", "/heartbeat"),
        ("post", "/changes"),
        ("post", "/ticket"),
        ("post", "/revoke"),
        ("post", "/status/batch"),
        ("get", "/status/{userId}"),
        ("put", "/status/{userId}"),
        ("delete", "/status/{userId}"),
        ("get", "/ws"),
        ("get", "/healthz"),
        ("get", "/readyz"),
        ("get", "/metrics"),
        ("get", "/openapi.json"),
    }
    names = [operation["operationId"] for _, _, operation in operations(rest.document)]
    assert len(set(names)) == len(names)


def test_every_operation_tells_of_the_refusals_that_may_befall_it(rest: Rest) -> None:
    for path, _, operation in operations(rest.document):
        told = set(operation["responses"])
        assert "405" in told
        if path.startswith(BASE):
            assert {"400", "401", "403", "408", "429", "431", "500", "503"} <= told
        if "requestBody" in operation:
            assert {"413", "415"} <= told
    assert "404" in rest.document["paths"][f"{BASE}/heartbeat"]["post"]["responses"]
    assert "426" in rest.document["paths"][f"{BASE}/ws"]["get"]["responses"]


def test_every_reference_leads_somewhere_and_nothing_is_left_over(rest: Rest) -> None:
    used: set[str] = set()

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            if "$ref" in part and part["$ref"] not in used:
                used.add(part["$ref"])
                walk(resolve(rest.document, part))
            for item in part.values():
                walk(item)
        elif isinstance(part, list):
            for item in part:
                walk(item)

    walk(rest.document["paths"])
    components = rest.document["components"]
    defined = {f"#/components/{kind}/{name}" for kind, named in components.items() for name in named}
    unused = {f"#/components/responses/{status}" for status in ERRORS} - used
    assert used <= defined
    assert defined - used == unused


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_examples_are_the_documents_own(rest: Rest, vector: dict[str, Any]) -> None:
    path = BASE + ("/status/{userId}" if vector["name"] == "status" else vector["path"])
    operation = rest.document["paths"][path][vector["method"].lower()]
    assert operation["responses"]["200"]["content"]["application/json"]["example"] == vector["response"]
    if "request" in vector:
        assert operation["requestBody"]["content"]["application/json"]["example"] == vector["request"]


def test_the_examples_fit_their_schemas(rest: Rest) -> None:
    for _, _, operation in operations(rest.document):
        parts = [operation.get("requestBody", {}), *operation["responses"].values()]
        for part in parts:
            for content in resolve(rest.document, part).get("content", {}).values():
                if "example" in content:
                    assert not list(mismatches(rest.document, content["schema"], content["example"]))


def test_the_limits_are_those_of_this_server(rest: Rest) -> None:
    def body_of(path: str) -> Any:
        return rest.document["paths"][BASE + path]["post"]["requestBody"]["content"]["application/json"]["schema"]

    assert body_of("/status/batch")["properties"]["userIds"]["maxItems"] == 77
    assert "88" in body_of("/changes")["properties"]["userIds"]["description"]
    assert rest.post("/status/batch", {"userIds": [1] * 77}).status == 200
    assert rest.post("/status/batch", {"userIds": [1] * 78}).status == 400
    assert rest.post("/changes", {"userIds": list(range(1, 90))}).status == 400


def test_the_document_can_be_read_by_a_page_of_an_allowed_origin(rest: Rest) -> None:
    answer = rest.server.request("GET", "//openapi.json", headers={"Origin": "http://localhost:8080"})
    assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:8080"
    assert answer.headers["Content-Type"] == "application/json"
