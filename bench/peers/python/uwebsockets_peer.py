"""uWebSockets, the C++ server, through `socketify`: each user is a topic, which their watchers subscribe to.

uWebSockets gathers what is published within a turn of its loop, and writes it to each subscriber together (32 messages
at most). So that there is something to gather, changes are published every WINDOW milliseconds, of several changes of
a user the last one; with 0 they are published at once. Compression is off. The loop of uWebSockets is run by itself:
through asyncio, `socketify` would spin.
"""

import json
import sys
from typing import Any

from diff import WELCOME, encoded
from garbage import settle
from socketify import App, CompressOptions, OpCode, WebSocket

port, window = int(sys.argv[1]), int(sys.argv[2])
waiting: dict[int, dict[str, Any]] = {}
app = App()


def publish(user: int, status: dict[str, Any]) -> None:
    app.publish(f"user:{user}", encoded(user, status), OpCode.TEXT)


def publish_waiting(_: object) -> None:
    for user, status in waiting.items():
        publish(user, status)
    waiting.clear()


def on_message(ws: WebSocket, text: str, opcode: OpCode) -> None:
    message = json.loads(text)
    if message["type"] == "hello":
        ws.get_user_data()["user"] = message["userId"]
        for user in message["watch"]:
            ws.subscribe(f"user:{user}")
        ws.send(WELCOME, OpCode.TEXT)
    elif window:
        waiting[ws.get_user_data()["user"]] = message
    else:
        publish(ws.get_user_data()["user"], message)


def on_upgrade(response: Any, request: Any, context: Any) -> None:
    response.upgrade(
        request.get_header("sec-websocket-key"), "", request.get_header("sec-websocket-extensions"), context, {}
    )


app.ws(
    "/api/v1/presence/ws",
    {
        "compression": CompressOptions.DISABLED,
        "max_backpressure": 16 * 1024 * 1024,
        "idle_timeout": 60,
        "upgrade": on_upgrade,
        "message": on_message,
    },
)
app.listen(port)
if window:
    timer = app.loop.uv_loop.create_timer(window, window, publish_waiting, None)
settle()
app.loop.uv_loop.run()
