"""REST: heartbeat, the status of one user, and of a hundred; over connections that stay open.

Against two floors that know nothing of presence and answer with the very bytes that our server answers with: a
Starlette endpoint that reads the body, and a raw ASGI function; both on uvicorn with the flags that our server uses.
32 connections each send a request, wait for the answer, and send the next; every answer is compared with the expected
bytes. The subjects take turns in each round.
"""

from __future__ import annotations

import json
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

from generator import generating, was_bottleneck
from lab import BENCH, Plan, Row, Spread, WrongResult, free_port, in_rounds, presence_server, serving

NAME = "rest"
BASE = "/api/v1/presence"
CONNECTIONS = 32
BATCH = 100
FIRST_USER = 1_000_001
SUBJECTS = {
    "presence-server": "presence-server",
    "starlette": "Starlette endpoint on uvicorn",
    "raw": "raw ASGI on uvicorn",
}
TARGETS = {"heartbeat": 0.9, "status/{id}": 0.9, "status/batch of 100": 0.7}
"""Least share of the Starlette endpoint's requests per CPU second."""


class Call(NamedTuple):
    method: str
    path: str
    body: bytes


def run(plan: Plan) -> list[Row]:
    seconds = 0.2 if plan.is_quick else 1.5
    users = range(FIRST_USER, FIRST_USER + BATCH)
    notes: dict[tuple[str, str], list[str]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = {"presence-server": stack.enter_context(presence_server("--heartbeat-interval", "600"))}
        port = servers["presence-server"][0]
        for user in users:
            ask(port, call("POST", "/online", {"userId": user, "deviceId": f"device-{user:029}", "platform": "WEB"}))
        files, answers = {}, {}
        for case, calls in cases(users).items():
            expected = [ask(port, one) for one in calls]
            answers |= {one.path: body.decode() for one, body in zip(calls, expected, strict=True)}
            files[case] = folder / f"{case.replace('/', '-')}.bin"
            files[case].write_bytes(b"".join(pair(one, body) for one, body in zip(calls, expected, strict=True)))
        (folder / "answers.json").write_text(json.dumps(answers))
        for kind in ("starlette", "raw"):
            port = free_port()
            command = [sys.executable, BENCH / "load" / "asgi.py", str(port), kind, folder / "answers.json"]
            servers[kind] = (port, stack.enter_context(serving(command, port)).pid)

        def measure_all() -> dict[str, float]:
            found: dict[str, float] = {}
            for case, file in files.items():
                for kind, (port, pid) in servers.items():
                    of_this = notes.setdefault((case, kind), [])
                    found |= {f"{case}|{kind}|{k}": v for k, v in measure(port, pid, seconds, file, of_this).items()}
                for kind in servers:
                    ours, theirs = (found[f"{case}|{which}|{PER_CPU}"] for which in ("presence-server", kind))
                    found[f"{case}|ratio|{kind}"] = ours / theirs
            return found

        found = in_rounds(plan, NAME, measure_all)
    return list(rows(found, notes))


PER_CPU = "requests per CPU second"


def rows(found: dict[str, Spread], notes: dict[tuple[str, str], list[str]]) -> Iterator[Row]:
    for (case, kind), said in notes.items():
        prefix = f"{case}|{kind}|"
        row = Row(NAME, case, SUBJECTS[kind], notes=list(dict.fromkeys(said)))
        row.figures = {name.removeprefix(prefix): spread for name, spread in found.items() if name.startswith(prefix)}
        if kind == "presence-server":
            row.figures["of Starlette's"] = ratio = found[f"{case}|ratio|starlette"]
            row.figures["of raw ASGI's"] = found[f"{case}|ratio|raw"]
            row.target = f"requests per CPU second >= {TARGETS[case]} of Starlette's"
            row.is_reached = ratio.median >= TARGETS[case]
        yield row


def cases(users: range) -> dict[str, list[Call]]:
    """The requests of each case: one for each connection, or one for all."""
    each = list(users)[:CONNECTIONS]
    return {
        "heartbeat": [call("POST", "/heartbeat", {"userId": user, "deviceId": f"device-{user:029}"}) for user in each],
        "status/{id}": [Call("GET", f"/status/{user}", b"") for user in list(users)[CONNECTIONS : 2 * CONNECTIONS]],
        "status/batch of 100": [call("POST", "/status/batch", {"userIds": list(users)})],
    }


def call(method: str, path: str, body: object) -> Call:
    return Call(method, path, json.dumps(body, separators=(",", ":")).encode())


def ask(port: int, wanted: Call) -> bytes:
    """The body of the answer.

    Raises:
        WrongResult: it is not a success.
    """
    connection = HTTPConnection("127.0.0.1", port)
    try:
        connection.request(wanted.method, BASE + wanted.path, wanted.body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200 or json.loads(body)["code"] != 200:
        raise WrongResult(f"{wanted}: {answer.status} {body!r}")
    return body


def pair(wanted: Call, expected: bytes) -> bytes:
    """A request and its answer as `load/http.c` reads them, with the headers that a usual client sends."""
    lines = [
        f"{wanted.method} {BASE}{wanted.path} HTTP/1.1",
        "Host: 127.0.0.1",
        "User-Agent: bench",
        "Accept: application/json",
    ]
    if wanted.method == "POST":
        lines += ["Content-Type: application/json", f"Content-Length: {len(wanted.body)}"]
    request = "\r\n".join([*lines, "", ""]).encode() + wanted.body
    return b"".join(struct.pack("<I", len(text)) + text for text in (request, expected))


def measure(port: int, pid: int, seconds: float, file: Path, notes: list[str]) -> dict[str, float]:
    """Requests as fast as they are answered.

    Raises:
        WrongResult: some answer was not as expected.
    """
    with generating("http", port, CONNECTIONS, seconds, file) as clients:
        clients.hear()
        result = clients.measured(pid)
    if result["wrong"]:
        raise WrongResult(f"{result['wrong']} of {result['answered']} answers were not as expected")
    notes += was_bottleneck(result)
    return {
        PER_CPU: result["answered"] / result["cpu"],
        "CPU us per request": result["cpu"] / result["answered"] * 1e6,
        "load busy": result["load_busy"],
    }
