"""What every REST answer is wrapped in: `{"code", "message", "data"}`, the HTTP status equal to `code`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from starlette.responses import Response

from presence_protocol.errors import FieldError
from presence_protocol.user_ids import told_in_json

RETRY_AFTER: Final = 5
"""Seconds after which a client that was turned away may try again."""


class Refusal(Exception):
    """A request that is answered with an error. `details` name each wrong field; `error` None: the status's usual."""

    def __init__(
        self,
        status: int,
        details: Sequence[FieldError] = (),
        error: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(status, details)
        self.status = status
        self.details = details
        self.error = error
        self.headers = headers or {}


ERRORS: Final = {
    400: ("invalid_request", "请求参数错误"),
    401: ("unauthenticated", "未认证"),
    403: ("forbidden", "没有权限"),
    404: ("not_found", "资源不存在"),
    405: ("method_not_allowed", "请求方法不允许"),
    408: ("request_timeout", "请求超时"),
    409: ("conflict", "与服务配置冲突"),
    413: ("payload_too_large", "请求体过大"),
    415: ("unsupported_media_type", "不支持的媒体类型"),
    421: ("misdirected_request", "请求的主机不属于本服务"),
    426: ("upgrade_required", "请使用 WebSocket 连接"),
    429: ("too_many_requests", "请求过于频繁"),
    431: ("request_header_fields_too_large", "请求头过大"),
    500: ("internal_error", "服务器内部错误"),
    501: ("not_implemented", "服务器不支持该请求"),
    503: ("unavailable", "服务暂不可用"),
    505: ("http_version_not_supported", "不支持的 HTTP 版本"),
}
"""By HTTP status: the stable English code and the message for people."""

MESSAGES: Final = {
    "device_not_online": "设备不在线",
    "device_replaced": "已在其他设备登录",
    "device_ended": "设备已被后端下线",
    "too_many_devices": "设备数量已达上限",
}
"""By stable code, where it says more than its status does."""


class Envelope(Struct):
    code: int
    message: str
    data: Any


encode = msgspec.json.Encoder(enc_hook=told_in_json).encode

NOT_STORED: Final = {"Cache-Control": "no-store"}
"""Presence is true for the moment: no cache may tell of it later."""


def success(data: Any, message: str = "success") -> Response:
    return Response(success_body(data, message), headers=NOT_STORED, media_type="application/json")


def success_body(data: Any, message: str = "success") -> bytes:
    return encode(Envelope(200, message, data))


def error_body(status: int, details: Sequence[FieldError] = (), error: str | None = None) -> bytes:
    usual, message = ERRORS[status]
    error = error or usual
    named = [{"field": field, "reason": reason} for field, reason in details]
    return encode(Envelope(status, MESSAGES.get(error, message), {"error": error, "details": named}))


def error_headers(status: int) -> dict[str, str]:
    """What belongs beside an error of this status."""
    if status in (429, 503):
        return {"Retry-After": str(RETRY_AFTER)}
    if status == 401:
        return {"WWW-Authenticate": "Bearer"}
    if status == 426:
        return {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    return {}


def failure(refusal: Refusal) -> Response:
    return Response(
        error_body(refusal.status, refusal.details, refusal.error),
        status_code=refusal.status,
        headers=NOT_STORED | error_headers(refusal.status) | refusal.headers,
        media_type="application/json",
    )
