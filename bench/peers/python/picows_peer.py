"""picows on uvloop: a listener per connection. A change is encoded once and sent to each watcher at once."""

import asyncio
import json
import sys
from collections import defaultdict

import uvloop
from diff import WELCOME, encoded
from garbage import settle
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

watchers: defaultdict[int, set[WSTransport]] = defaultdict(set)


class Connection(WSListener):
    def __init__(self) -> None:
        self.user = 0
        self.watched: list[int] = []

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.TEXT:
            message = json.loads(frame.get_payload_as_bytes())
            if message["type"] == "hello":
                self.user, self.watched = message["userId"], message["watch"]
                for user in self.watched:
                    watchers[user].add(transport)
                transport.send(WSMsgType.TEXT, WELCOME.encode())
            else:
                data = encoded(self.user, message).encode()
                for watcher in watchers[self.user]:
                    watcher.send(WSMsgType.TEXT, data)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        for user in self.watched:
            watchers[user].discard(transport)


async def main() -> None:
    def accept(request: WSUpgradeRequest) -> WSListener:
        return Connection()

    server = await ws_create_server(accept, "127.0.0.1", int(sys.argv[1]), backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    settle()
    asyncio.run(main(), loop_factory=uvloop.new_event_loop) if sys.version_info >= (3, 12) else uvloop.run(main())
