"""`/openapi.json` as a document: complete, consistent, and with the API document's own examples.

That the server's answers fit it is shown by every other REST test: see `support.rest.Rest`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from presence_server.transports.rest.envelope import ERRORS
from support.rest import Rest, mismatches, resolve
from support.server import BASE, run_server

ROOT = Path(__file__).parents[3]
NODE = ROOT / "tests" / "node"
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
        ("get", "/online"),
        ("post", "/offline"),
        ("post", "/kick"),
        ("post", "/reach"),
        ("get", "/statistics"),
        ("get", "/users/{userId}/devices"),
        ("post", "/heartbeat"),
        ("post", "/changes"),
        ("post", "/ticket"),
        ("get", "/explain/{userId}"),
        ("put", "/contacts/{userId}"),
        ("patch", "/contacts/{userId}"),
        ("put", "/blocks/{userId}"),
        ("patch", "/blocks/{userId}"),
        ("put", "/privacy/{userId}"),
        ("delete", "/users/{userId}"),
        ("get", "/users/{userId}/export"),
        ("post", "/revoke"),
        ("post", "/status/batch"),
        ("get", "/status/{userId}"),
        ("put", "/status/{userId}"),
        ("delete", "/status/{userId}"),
        ("patch", "/status/{userId}"),
        ("post", "/claims/batch"),
        ("get", "/claims/{userId}"),
        ("put", "/claims/{userId}/{source}"),
        ("patch", "/claims/{userId}/{source}"),
        ("delete", "/claims/{userId}/{source}"),
        ("get", "/events"),
        ("get", "/webhooks"),
        ("post", "/webhooks/{name}/replay"),
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
            assert {"400", "401", "403", "408", "431", "500", "503"} <= told
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
    walk(rest.document["webhooks"])
    components = rest.document["components"]
    defined = {f"#/components/{kind}/{name}" for kind, named in components.items() for name in named}
    schemes = {f"#/components/securitySchemes/{name}" for one in rest.document["security"] for name in one}
    assert used | schemes == defined


def test_it_promises_no_refusal_that_is_never_sent(rest: Rest) -> None:
    """What the sources raise or answer with, by its number."""
    sources = "\n".join(
        path.read_text("utf-8") for path in (ROOT / "server").rglob("*.py") if path.name != "openapi.py"
    )
    sent = {
        int(status) for status in re.findall(r"\b(?:Refusal|BadHead|Denied|HTTPException|_refusal)\((\d{3})", sources)
    }
    promised = {int(status) for status in rest.document["components"]["responses"]}
    assert promised <= sent
    assert promised <= set(ERRORS)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_document_speaks_one_language(rest: Rest, language: str) -> None:
    answer = rest.server.request("GET", f"//openapi.json?lang={language}")
    assert answer.headers["Content-Language"] == language
    said = [text for path, text in texts(answer.json) if path[-1] in ("description", "summary")]
    assert len(said) > 60
    is_chinese = [re.search(r"[\u4e00-\u9fff]", text) is not None for text in said]
    wrong = [text for text, chinese in zip(said, is_chinese, strict=True) if chinese != (language == "zh")]
    assert [text for text in wrong if not text.startswith("OpenAPI 3.1")] == []


def test_it_is_in_english_unless_asked_otherwise(rest: Rest) -> None:
    assert (
        rest.document == rest.server.get("//openapi.json?lang=en").json == rest.server.get("//openapi.json?lang=x").json
    )


def texts(part: Any, path: tuple[str, ...] = ("",)) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(part, dict):
        for name, value in part.items():
            yield from texts(value, (*path, name))
    elif isinstance(part, list):
        for item in part:
            yield from texts(item, path)
    elif isinstance(part, str):
        yield path, part


def test_it_says_where_the_server_is_and_what_it_asks_for(rest: Rest) -> None:
    assert [server["url"] for server in rest.document["servers"]] == ["/"]
    with run_server(root_path="/presence") as below:
        assert below.request("GET", "//presence/openapi.json").json["servers"][0]["url"] == "/presence"
    schemes = rest.document["components"]["securitySchemes"]
    assert schemes["token"]["scheme"] == schemes["serviceKey"]["scheme"] == "bearer"
    assert (schemes["ticket"]["in"], schemes["ticket"]["name"]) == ("query", "ticket")
    assert rest.document["info"]["license"]["identifier"] == "Apache-2.0"
    tags = {tag["name"] for tag in rest.document["tags"]}
    for _, _, operation in operations(rest.document):
        assert set(operation["tags"]) <= tags
        assert operation["description"]


@pytest.mark.slow
@pytest.mark.node
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("linter", ["redocly", "spectral"])
def test_linters_find_nothing_wrong_with_it(rest: Rest, tmp_path: Path, linter: str, language: str) -> None:
    file = tmp_path / "openapi.json"
    file.write_text(rest.server.request("GET", f"//openapi.json?lang={language}").text, "utf-8")
    rules = NODE / f"{linter}.yaml"
    command = {
        "redocly": ["lint", "--config", str(rules), str(file)],
        "spectral": ["lint", "--ruleset", str(rules), "--fail-severity", "warn", str(file)],
    }[linter]
    run = subprocess.run(
        [str(NODE / "node_modules" / ".bin" / linter), *command],
        cwd=tmp_path,
        env=os.environ | {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


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
