"""What the API document says of webhooks, and of what is at the root for operators: paths."""

from __future__ import annotations

from presence_server.transports.rest import schemas, webhook_schemas
from presence_server.transports.rest.operation import HEADERS, json_response, operation_of
from presence_server.transports.rest.schemas import Schema, list_of, ref
from presence_server.transports.rest.words import Words


def webhooks_paths() -> Schema:
    one = "/webhooks/{name}/replay"
    return {
        "/webhooks": {
            "get": operation_of(
                "/webhooks",
                "webhooks",
                Words("Where each webhook stands", "查询 Webhook 的状态"),
                Words("In the order of the file of --webhooks.", "按 --webhooks 文件中的顺序。"),
                list_of(ref("Webhook")),
                tag="operations",
            )
        },
        one: {
            "post": operation_of(
                one,
                "replayWebhook",
                Words("Send again from a cursor on", "从指定位置重新推送"),
                Words(
                    "At once, also where it had ended. Each user's last state is sent, not each change.",
                    "立即开始，已停止的也会恢复。每个用户只推送最新状态，而不是每次变更。",
                ),
                ref("Webhook"),
                404,
                body=webhook_schemas.REPLAY_BODY,
                tag="operations",
            )
        },
    }


def operations_paths() -> Schema:
    def get(name: str, summary: Words, description: Words, responses: Schema) -> Schema:
        told = {"405": {"$ref": "#/components/responses/405"}, **responses}
        operation = {"operationId": name, "summary": summary, "description": description, "tags": ["operations"]}
        return {"get": operation | {"security": [], "responses": told}}

    text = {"text/plain": {"schema": {"type": "string"}}}
    language = {
        "name": "lang",
        "in": "query",
        "schema": {"type": "string"},
        "description": Words("`zh`: in Chinese. Anything else: in English.", "`zh`：中文。其他值：英文。"),
    }
    document = get(
        "openapi",
        Words("This document", "本文档"),
        Words("OpenAPI 3.1, in one language.", "OpenAPI 3.1，单一语言。"),
        {"200": json_response(Words("The document.", "文档。"), {"type": "object"})},
    )
    document["get"]["parameters"] = [language]
    return {
        "/healthz": get(
            "health",
            Words("Is the process alive?", "进程是否存活"),
            Words("Answered as long as the process answers at all.", "只要进程还能应答就返回 200。"),
            {"200": json_response(Words("It is.", "存活。"), schemas.HEALTH)},
        ),
        "/readyz": get(
            "ready",
            Words("Are new connections welcome?", "是否接受新连接"),
            Words("For load balancers.", "供负载均衡器使用。"),
            {
                "200": json_response(Words("They are.", "接受。"), schemas.READY),
                "503": json_response(Words("They are not.", "不接受。"), schemas.NOT_READY) | {"headers": HEADERS[503]},
            },
        ),
        "/metrics": get(
            "metrics",
            Words("How is it doing?", "运行指标"),
            Words("In Prometheus's text format.", "Prometheus 文本格式。"),
            {"200": {"description": Words("The metrics.", "指标。"), "content": text}},
        ),
        "/openapi.json": document,
    }
