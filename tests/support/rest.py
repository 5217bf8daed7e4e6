"""What the REST tests share: answers held against /openapi.json, the envelope, and bytes sent as they are."""

from __future__ import annotations

import io
import re
import socket
import time
from collections.abc import Iterable
from http.client import HTTPResponse
from typing import Any

from support.server import BASE, Answer, Server

Schema = dict[str, Any]

MAX_USER_ID = 2**53 - 1
USER_ID_REASON = f"must be an integer from 1 to {MAX_USER_ID}"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


class Rest:
    """A server whose every answer is held against its own document."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.document: Schema = server.get("//openapi.json").json

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        answer = self.server.request(method, path, body, headers)
        self.check(method, path, answer)
        return answer

    def get(self, path: str) -> Answer:
        return self.call("GET", path)

    def post(self, path: str, body: Any) -> Answer:
        return self.call("POST", path, body)

    def put(self, user_id: int, **body: Any) -> Answer:
        return self.call("PUT", f"/status/{user_id}", body)

    def online(self, user_id: int, device_id: str = "rest", platform: str = "WEB", **more: Any) -> Answer:
        return self.post("/online", {"userId": user_id, "deviceId": device_id, "platform": platform, **more})

    def offline(self, user_id: int, device_id: str = "rest") -> Answer:
        return self.post("/offline", {"userId": user_id, "deviceId": device_id})

    def status_of(self, user_id: int) -> str:
        status: str = self.get(f"/status/{user_id}").data["status"]
        return status

    def check(self, method: str, path: str, answer: Answer) -> None:
        """The answer is one that the document tells of, with the headers and the body that it tells of."""
        operation = self._operation(method, path)
        if operation is None:
            check_refusal(answer)
            return
        told = operation["responses"]
        assert str(answer.status) in told, f"{answer.status} to {method} {path} is not documented"
        response = resolve(self.document, told[str(answer.status)])
        for name in response.get("headers", {}):
            assert name in answer.headers, f"{answer.status} to {method} {path} comes without {name}"
        media_type = answer.headers["Content-Type"].partition(";")[0]
        schema = response["content"][media_type]["schema"]
        if media_type == "application/json":
            assert not list(mismatches(self.document, schema, answer.json))

    def _operation(self, method: str, path: str) -> Schema | None:
        whole = (path[1:] if path.startswith("//") else BASE + path).partition("?")[0]
        for template in sorted(self.document["paths"], key=lambda template: "{" in template):
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), whole):
                operation: Schema | None = self.document["paths"][template].get(method.lower())
                return operation
        return None


def resolve(document: Schema, schema: Schema) -> Schema:
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
KNOWN = {"type", "enum", "const", "properties", "required", "additionalProperties", "items", "minimum", "maximum"}
KNOWN |= {"anyOf", "minLength", "maxLength", "pattern", "maxItems", "description", "examples", "$ref"}


def mismatches(document: Schema, schema: Schema, value: Any, path: str = "$") -> Iterable[str]:
    """Where `value` does not fit `schema`, of which only what the document uses is understood."""
    schema = resolve(document, schema)
    assert schema.keys() <= KNOWN, f"{schema.keys() - KNOWN} is not understood here"
    if "anyOf" in schema and all(list(mismatches(document, one, value, path)) for one in schema["anyOf"]):
        yield f"{path} fits none of {schema['anyOf']}"
    types = schema.get("type", list(TYPES))
    if not any(type(value) in TYPES[name] for name in ([types] if isinstance(types, str) else types)):
        yield f"{path} is not {types}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path} is none of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        yield f"{path} is not {schema['const']}"
    if type(value) is int and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{path} is out of range"
    if type(value) is str:
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            yield f"{path} is too short or too long"
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{path} does not match {schema['pattern']}"
    if type(value) is list:
        if len(value) > schema.get("maxItems", len(value)):
            yield f"{path} is too long"
        for index, item in enumerate(value):
            yield from mismatches(document, schema.get("items", {}), item, f"{path}[{index}]")
    if type(value) is dict:
        properties = schema.get("properties", {})
        yield from (f"{path} lacks {name}" for name in schema.get("required", ()) if name not in value)
        for name, item in value.items():
            if name in properties:
                yield from mismatches(document, properties[name], item, f"{path}.{name}")
            elif schema.get("additionalProperties") is False:
                yield f"{path}.{name} is not told of"


def check_refusal(answer: Answer) -> None:
    """A refusal in the envelope: the same three keys, the HTTP status in `code`, Chinese for people."""
    body = answer.json
    assert list(body) == ["code", "message", "data"]
    assert body["code"] == answer.status >= 400
    assert re.search("[一-鿿]", body["message"])
    assert list(body["data"]) == ["error", "details"]
    for detail in body["data"]["details"]:
        assert list(detail) == ["field", "reason"]
        assert detail["field"]
        assert detail["reason"]
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"


def refused(answer: Answer, status: int, error: str, *fields: str) -> list[str]:
    """Make sure that `answer` is this refusal, naming exactly `fields` in their order. Returns their reasons."""
    check_refusal(answer)
    assert (answer.status, answer.data["error"]) == (status, error)
    assert [detail["field"] for detail in answer.data["details"]] == list(fields)
    return [detail["reason"] for detail in answer.data["details"]]


def times_replaced(value: Any) -> Any:
    """`value` with every time in it replaced by the word, so that the rest can be compared."""
    if isinstance(value, dict):
        return {name: times_replaced(item) for name, item in value.items()}
    if isinstance(value, list):
        return [times_replaced(item) for item in value]
    return "time" if isinstance(value, str) and TIME.fullmatch(value) else value


# -- bytes as they are -----------------------------------------------------------------------------------------------


class _Reader(io.BufferedReader):
    """Reads one answer after the other: `HTTPResponse` would close it with the first."""

    def close(self) -> None:
        pass


class Line:
    """A TCP connection on which a test writes what it likes."""

    def __init__(self, server: Server) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=15)
        self._reader = _Reader(socket.SocketIO(self.socket, "rb"))

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.socket.close()

    def makefile(self, _mode: str) -> io.BufferedReader:
        """For `HTTPResponse`, which wants nothing else of a socket."""
        return self._reader

    def send(self, data: bytes | str) -> None:
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def trickle(self, data: bytes | str, pause: float = 0.02) -> None:
        """A byte at a time, until all is sent or the server has had enough."""
        for byte in data.encode() if isinstance(data, str) else data:
            try:
                self.socket.sendall(bytes((byte,)))
            except OSError:
                return
            time.sleep(pause)  # being slow is what is tested

    def end(self) -> None:
        """Nothing more is sent; what the server says is still read."""
        self.socket.shutdown(socket.SHUT_WR)

    def answer(self, method: str = "GET") -> Answer:
        response = HTTPResponse(self, method=method)  # type: ignore[arg-type]
        response.begin()
        return Answer(response.status, response.headers, response.read())

    def is_closed(self) -> bool:
        """Whether the server closes, having said nothing more."""
        try:
            return self._reader.read(1) == b""
        except ConnectionResetError:
            return True


def head(method: str, path: str, *headers: str) -> str:
    lines = (f"{method} {path if path.startswith('/') else BASE + '/' + path} HTTP/1.1", "Host: 127.0.0.1", *headers)
    return "\r\n".join(lines) + "\r\n\r\n"


def post(path: str, body: bytes, *headers: str) -> bytes:
    """A whole request; `path` below the base."""
    return (
        head("POST", path, "Content-Type: application/json", f"Content-Length: {len(body)}", *headers).encode() + body
    )


def exchange(server: Server, data: bytes | str, method: str = "POST") -> Answer:
    with Line(server) as line:
        line.send(data)
        return line.answer(method)
