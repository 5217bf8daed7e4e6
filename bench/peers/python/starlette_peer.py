"""A Starlette WebSocket endpoint on uvicorn with uvloop, httptools and the Sans-I/O WebSocket implementation.

A change is encoded once and sent to each watcher at once, one `send_text` after another. Compression is off.
"""

import json
import sys
from collections import defaultdict

import uvicorn
from diff import WELCOME, encoded
from garbage import settle
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

watchers: defaultdict[int, set[WebSocket]] = defaultdict(set)


async def presence(websocket: WebSocket) -> None:
    await websocket.accept()
    hello = json.loads(await websocket.receive_text())
    for user in hello["watch"]:
        watchers[user].add(websocket)
    await websocket.send_text(WELCOME)
    try:
        async for text in websocket.iter_text():
            message = encoded(hello["userId"], json.loads(text))
            for watcher in list(watchers[hello["userId"]]):
                await watcher.send_text(message)
    finally:
        for user in hello["watch"]:
            watchers[user].discard(websocket)


app = Starlette(routes=[WebSocketRoute("/api/v1/presence/ws", presence)])

if __name__ == "__main__":
    settle()
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=25,
        log_level="error",
    )
