"""python-socketio on uvicorn with uvloop, httptools and the Sans-I/O WebSocket implementation.

Each user is a room, which their watchers enter; a change is emitted to the room. WebSocket only, compression off.
"""

import sys
from typing import Any

import socketio
import uvicorn
from diff import diff
from garbage import settle

server = socketio.AsyncServer(async_mode="asgi", transports=["websocket"], http_compression=False)
users: dict[str, int] = {}


@server.event
async def hello(sid: str, message: dict[str, Any]) -> None:
    users[sid] = message["userId"]
    for user in message["watch"]:
        await server.enter_room(sid, f"user:{user}")
    await server.emit("welcome", to=sid)


@server.event
async def status(sid: str, message: dict[str, Any]) -> None:
    await server.emit("diff", diff(users[sid], message), room=f"user:{users[sid]}")


@server.event
async def disconnect(sid: str, reason: str) -> None:
    users.pop(sid, None)


if __name__ == "__main__":
    settle()
    uvicorn.run(
        socketio.ASGIApp(server),
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        log_level="error",
    )
