"""How an operation of the API document is written: its example, its envelope, and how it may be refused."""

from __future__ import annotations

from typing import Any, Final

from presence_server.transports.rest import claim_schemas, schemas, webhook_schemas
from presence_server.transports.rest.envelope import ERRORS
from presence_server.transports.rest.schemas import Schema, record, ref
from presence_server.transports.rest.words import Words

# The examples of the API document, by path below the base: the request's body, and the answer's `data`.
_DEVICE_EXAMPLE: Final = {"userId": 10001, "deviceId": "device_123"}
_STATE_EXAMPLE: Final = {"userId": 10001, "status": "ONLINE", "lastActiveTime": "2025-11-09T15:00:00Z"}
_DEVICES_EXAMPLE: Final = [{"deviceId": "device_123", "platform": "WEB", "onlineTime": "2025-11-09T14:00:00Z"}]
_BATCH_EXAMPLE: Final = [
    {"userId": user_id, "status": status}
    for user_id, status in ((10001, "ONLINE"), (10002, "OFFLINE"), (10003, "AWAY"))
]
EXAMPLES: Final[dict[str, tuple[Any, Any]]] = {
    "/online": ({**_DEVICE_EXAMPLE, "platform": "WEB"}, _STATE_EXAMPLE),
    "/offline": (_DEVICE_EXAMPLE, None),
    "/heartbeat": (_DEVICE_EXAMPLE, {"nextHeartbeatInterval": 30000}),
    "/status/batch": ({"userIds": [10001, 10002, 10003]}, _BATCH_EXAMPLE),
    "/status/{userId}": (
        {"status": "BUSY", "statusText": "开会中"},
        {**_STATE_EXAMPLE, "devices": _DEVICES_EXAMPLE},
    ),
}

_SECONDS: Final = {"description": Words("Seconds.", "秒。"), "schema": {"type": "string", "pattern": r"^\d+$"}}
_ALLOW: Final = {"description": Words("The methods that are right.", "允许的方法。"), "schema": {"type": "string"}}
HEADERS: Final[dict[int, Schema]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    405: {"Allow": _ALLOW},
    426: {"Upgrade": {"schema": {"const": "websocket"}}},
    429: {"Retry-After": _SECONDS},
    503: {"Retry-After": _SECONDS},
}
"""What comes in the head of a refusal, by status."""

REASONS: Final = {
    400: "The request is wrong; `details` names each field at fault.",
    401: "Nobody in particular: credentials are missing or no longer good.",
    403: "Not allowed to whoever asks, or to the page that it comes from.",
    404: "There is no such thing; for a heartbeat: the device is not online, call /online again.",
    405: "The method is wrong; `Allow` names those that are right.",
    409: "In conflict with how the server is set up, or with what there is: `error` says which.",
    408: "The request took too long to arrive.",
    413: "The body is larger than the server takes.",
    415: "The body is not JSON, or is compressed.",
    421: "The Host is not one of this server's names.",
    426: "Only a request to upgrade to a WebSocket is answered here.",
    429: "Over a limit, which `details` names. Try again after `Retry-After`.",
    431: "The head of the request is too large.",
    500: "A bug of the server's; `details` names the entry in its log.",
    501: "The body comes in a transfer coding that is not known here.",
    503: "Not now: the server is full, about to end, or cannot tell. Try again after `Retry-After`.",
}

ANY: Final = (400, 401, 403, 405, 408, 421, 429, 431, 500, 501, 503)
"""The refusals that may befall any request."""


def envelope(message: str, data: Schema) -> Schema:
    return record({"code": {"const": 200}, "message": {"const": message}, "data": data})


def json_response(description: Words, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def refusals(*statuses: int) -> Schema:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted({*ANY, *statuses})}


def operation_of(
    path: str,
    name: str,
    summary: Words,
    description: Words,
    data: Schema,
    *refused: int,
    message: str = "success",
    body: Schema | None = None,
    tag: str = "presence",
) -> Schema:
    """One operation of the API. `name` is its operationId; `refused` are statuses beyond the usual ones."""
    asked, answered = EXAMPLES.get(path, (None, None))
    answer = json_response(Words("Done; `data` holds the answer.", "成功；`data` 为结果。"), envelope(message, data))
    if path in EXAMPLES:
        answer["content"]["application/json"]["example"] = {"code": 200, "message": message, "data": answered}
    usual = (413, 415) if body is not None else ()
    if "{userId}" in path:
        usual = (*usual, 404)  # of an id with a slash in it
    operation: Schema = {
        "operationId": name,
        "summary": summary,
        "description": description,
        "tags": [tag],
        "responses": {"200": answer, **refusals(*usual, *refused)},
    }
    if body is not None:
        content = {"schema": body} if asked is None else {"schema": body, "example": asked}
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    if "{userId}" in path:
        parameter = {"name": "userId", "in": "path", "required": True, "schema": schemas.USER_ID}
        operation["parameters"] = [parameter | {"description": Words("Whose status.", "用户 ID。")}]
    if "{source}" in path:
        of = Words("Whose word it is (--sources).", "声明的来源（--sources）。")
        parameter = {"name": "source", "in": "path", "required": True, "schema": claim_schemas.SOURCE}
        operation["parameters"].append(parameter | {"description": of})
    if "{name}" in path:
        parameter = {"name": "name", "in": "path", "required": True, "schema": webhook_schemas.NAME}
        operation["parameters"] = [parameter | {"description": Words("Which webhook.", "Webhook 的名称。")}]
    return operation


def refusal(status: int) -> Schema:
    response = json_response(Words(REASONS[status], f"{ERRORS[status][1]}。"), ref("Error"))
    return response | {"headers": HEADERS[status]} if status in HEADERS else response
