"""The floors that the server's HTTP and its connects are measured against: what an application costs that does nothing.

Run as `asgi.py PORT KIND [FILE]`, on uvicorn with uvloop and httptools and with the flags that our own server uses:

- `starlette`: routes that read the body and return the bytes of FILE, by path: a JSON object of path and text.
- `raw`: an ASGI function that does the same without any framework.
- `websocket`: a Starlette endpoint that accepts, receives a hello, sends the text of FILE, receives a bye, and closes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

BASE = "/api/v1/presence"


def starlette(answers: dict[str, bytes]) -> ASGIApp:
    async def heartbeat(request: Request) -> Response:
        await request.body()
        return Response(answers["/heartbeat"], media_type="application/json")

    async def batch(request: Request) -> Response:
        await request.body()
        return Response(answers["/status/batch"], media_type="application/json")

    async def status(request: Request) -> Response:
        await request.body()
        return Response(answers[f"/status/{request.path_params['user_id']}"], media_type="application/json")

    return Starlette(
        routes=[
            Route(BASE + "/heartbeat", heartbeat, methods=["POST"]),
            Route(BASE + "/status/batch", batch, methods=["POST"]),
            Route(BASE + "/status/{user_id}", status, methods=["GET"]),
        ]
    )


def raw(answers: dict[str, bytes]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        has_more = True
        while has_more:
            message = await receive()
            body += message.get("body", b"")
            has_more = message.get("more_body", False)
        answer = answers[scope["path"].removeprefix(BASE)]
        headers = [(b"content-length", b"%d" % len(answer)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


def websocket(welcome: str) -> ASGIApp:
    async def endpoint(socket: WebSocket) -> None:
        await socket.accept()
        await socket.receive_text()
        await socket.send_text(welcome)
        await socket.receive_text()
        await socket.close(1000)

    return Starlette(routes=[WebSocketRoute(BASE + "/ws", endpoint)])


def main() -> None:
    port, kind, file = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    app: Any
    if kind == "websocket":
        app = websocket(file.read_text())
    else:
        answers = {path: text.encode() for path, text in json.loads(file.read_text()).items()}
        app = starlette(answers) if kind == "starlette" else raw(answers)
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        http="httptools",
        ws="websockets-sansio" if kind == "websocket" else "none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    uvloop.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main()
