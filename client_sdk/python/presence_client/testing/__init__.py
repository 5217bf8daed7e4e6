"""A presence server for your own tests: the real protocol, in memory, with verbs to make things go wrong.

    async with FakePresenceServer() as server:
        async with server.connect(user_id=1, watch=[2]) as client:
            server.set(2, "BUSY", text="in a meeting")
            await server.settle()
            assert client.view[2].status == "BUSY"
            server.cut()  # the network drops

What runs in the client is the SDK itself; its bytes go over a queue instead of a socket. `server.api()` is the real
`PresenceApi`, for back ends: statuses, claims, changes. The server is smaller than the real one: no away_after, no
permissions, REST devices do not lapse. It runs in the test's own event loop.
"""

from presence_client.testing.server import FakePresenceServer

__all__ = ["FakePresenceServer"]
