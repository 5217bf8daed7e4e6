"""The WebSocket protocol over real sockets: handshake, refusals, replies, sessions, invisibility, life of the link."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from support.client import Client, Message, vanish
from support.server import Server, run_server

VECTORS = Path(__file__).parents[2] / "vectors"
REFUSALS = json.loads((VECTORS / "refusals.json").read_text())["cases"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with run_server(min_publish_interval=0, grace_period=0.4) as running:
        yield running
        assert not [line for line in running.log if '"level":"error"' in line]


def run(story: Any) -> None:
    asyncio.run(story)


# -- handshake -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (None, None),
        (["presence.v1.json"], "presence.v1.json"),
        (["presence.v1.msgpack", "presence.v1.json"], "presence.v1.msgpack"),
        (["graphql-ws", "presence.v1.json"], "presence.v1.json"),
    ],
)
def test_subprotocols(server: Server, offered: Any, chosen: str | None) -> None:
    async def story() -> None:
        async with connect(server.ws_url, subprotocols=offered, proxy=None) as connection:
            assert connection.subprotocol == chosen

    run(story())


@pytest.mark.parametrize(
    ("path", "options", "status"),
    [
        ("", {"subprotocols": ["graphql-ws"]}, 400),
        ("", {"origin": "http://evil.example"}, 403),
        ("x", {}, 404),
    ],
)
def test_a_refused_handshake_says_why_in_the_envelope(
    server: Server, path: str, options: dict[str, Any], status: int
) -> None:
    async def story() -> None:
        with pytest.raises(InvalidStatus) as refused:
            await connect(server.ws_url + path, proxy=None, **options)
        body = json.loads(refused.value.response.body or b"")
        assert refused.value.response.status_code == body["code"] == status
        assert body["data"]["details"][0]["reason"]

    run(story())


def test_the_same_origin_and_loopback_ones_may_connect(server: Server) -> None:
    async def story() -> None:
        for origin in (server.url, "http://localhost:3000", None):
            async with connect(server.ws_url, origin=origin, proxy=None):  # type: ignore[arg-type]
                pass

    run(story())


def test_a_full_server_says_so() -> None:
    async def story() -> None:
        two = [await Client.hello(server, number) for number in (1, 2)]
        assert server.request("GET", "//readyz").json == {"status": "full"}
        with pytest.raises(InvalidStatus) as refused:
            await Client.open(server)
        assert refused.value.response.status_code == 503
        assert int(refused.value.response.headers["Retry-After"]) > 0
        await two[0].close()
        await (await Client.hello(server, 3)).close()
        await two[1].close()

    with run_server(max_connections=2) as server:
        run(story())


# -- refusals --------------------------------------------------------------------------------------------------------


def piece(part: dict[str, Any]) -> bytes:
    data = part["text"].encode() if "text" in part else bytes.fromhex(part["hex"])
    return data * int(part.get("times", 1))


async def answer_to(server: Server, case: dict[str, Any]) -> dict[str, Any]:
    codec = case["codec"]
    client = await (Client.open(server, codec) if case["state"] == "open" else Client.hello(server, 700, codec=codec))
    data = b"".join(map(piece, case["frame"]))
    is_text = case.get("kind", "text" if codec == "json" else "binary") == "text"
    try:
        await client.connection.send(data, text=is_text)
        if "accept" in case["expected"] and case["state"] == "live":
            await client.send(type="ping", id=99)
        message = await asyncio.wait_for(client.next(), 5)
        # A vector's date stays as it is while the calendar goes on: that it is past says that it was read.
        if message["type"] != "error" or "must be later than now" in message["message"]:
            return {"accept": True}
        found = {name: message[name] for name in ("code", "error", "id") if name in message}
        return {"error": found | {"fields": [detail["field"] for detail in message.get("details", ())]}}
    except ConnectionClosed:
        code = client.connection.close_code
        return {"accept": True} if code == 1000 else {"close": code}
    finally:
        await vanish(client)


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_every_refusal_of_the_vectors(server: Server, codec: str) -> None:
    async def story() -> None:
        wrong = {}
        for case in (case for case in REFUSALS if case["codec"] == codec):
            expected = {"accept": True} if "accept" in case["expected"] else case["expected"]
            if sum(len(piece(part)) for part in case["frame"]) > 262_144:
                expected = {"close": 1009}  # it is too large before it is malformed
            found = await answer_to(server, case)
            if found != expected:
                wrong[case["name"]] = (found, expected)
        assert not wrong

    run(story())


def test_an_unmasked_frame_breaks_the_websocket_protocol(server: Server) -> None:
    async def story() -> None:
        client = await Client.hello(server, 701)
        client.connection.transport.write(b"\x81\x02{}")
        assert await client.closed() == 1002

    run(story())


def test_no_hello_in_time() -> None:
    async def story() -> None:
        client = await Client.open(server)
        assert await client.closed() == 4504

    with run_server(hello_timeout=0.3) as server:
        run(story())


# -- replies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_each_message_with_an_id_gets_exactly_one_reply_that_carries_it(server: Server, codec: str) -> None:
    async def story() -> None:
        client = await Client.open(server, codec)
        await client.send(type="hello", id=1, userId=702, deviceId="d", platform="WEB", watch=[1])
        asked: list[Message] = [
            {"type": "watch", "userIds": [2]},
            {"type": "unwatch", "userIds": [2]},
            {"type": "status", "status": "BUSY"},
            {"type": "activity", "idle": True},
            {"type": "query", "userIds": [3, 3, 4]},
            {"type": "ping"},
            {"type": "nonsense"},
        ]
        for number, message in enumerate(asked, 2):
            await client.send(id=number, **message)
        await client.send(type="unwatch", userIds=[1])  # without an id there is no `ok`
        await client.send(type="ping", id=99)
        await client.receive(lambda message: message.get("id") == 99)
        replies = [(message["id"], message["type"]) for message in client.heard if "id" in message][:-1]
        kinds = ["welcome", "snapshot", "ok", "ok", "ok", "statuses", "pong", "error"]
        assert replies == list(enumerate(kinds, 1))
        statuses = next(message for message in client.heard if message["type"] == "statuses")["statuses"]
        assert [entry["userId"] for entry in statuses] == [3, 3, 4]
        await client.close()

    run(story())


def test_a_long_snapshot_comes_in_parts_of_500(server: Server) -> None:
    async def story() -> None:
        client = await Client.hello(server, 703)
        await client.send(type="watch", userIds=list(range(2000, 3200)), id=5)
        parts = [await client.next() for _ in range(3)]
        assert [len(part["statuses"]) for part in parts] == [500, 500, 200]
        assert [part.get("more", False) for part in parts] == [True, True, False]
        assert ["cursor" in part for part in parts] == [False, False, True]
        await client.close()

    run(story())


def test_too_many_watched_applies_nothing(server: Server) -> None:
    async def story() -> None:
        client = await Client.hello(server, 704)
        await client.ask(type="watch", userIds=list(range(5000, 9999)))
        await client.next()
        edges = server.metric("presence_watches")
        refused = await client.ask(type="watch", userIds=[1, 2])
        assert (refused["type"], refused["code"], refused["error"]) == ("error", 400, "too_many_watched")
        assert server.metric("presence_watches") == edges
        await vanish(client)

    run(story())


def test_unwatched_users_are_told_of_no_more(server: Server) -> None:
    async def story() -> None:
        client = await Client.hello(server, 705, watch=[706])
        await client.receive("snapshot")
        await client.ask(type="unwatch", userIds=[706])
        server.online(706)
        assert await client.hears_nothing(0.3)
        await client.close()

    run(story())


def test_an_observer_watches_and_has_no_status(server: Server) -> None:
    async def story() -> None:
        observer = await Client.observe(server, [707])
        assert observer.heard[0]["self"] is None
        for message in ({"type": "status", "status": "BUSY"}, {"type": "activity", "idle": True}):
            refused = await observer.ask(**message)
            assert (refused["code"], refused["error"]) == (403, "forbidden")
        server.online(707)
        await observer.change_of(707, "ONLINE")
        await observer.close()

    run(story())


# -- sessions --------------------------------------------------------------------------------------------------------


def test_a_seventeenth_device_ends_the_one_longest_idle(server: Server) -> None:
    async def story() -> None:
        clients = [await Client.hello(server, 710, f"d{number}") for number in range(16)]
        await clients[5].ask(type="activity", idle=True)
        clients.append(await Client.hello(server, 710, "d16"))
        assert await clients.pop(5).closed() == 4411
        assert await clients[0].ask(type="ping")
        await vanish(*clients)

    run(story())


def test_the_back_end_ends_a_connected_device(server: Server) -> None:
    async def story() -> None:
        client = await Client.hello(server, 711)
        server.post("/offline", {"userId": 711, "deviceId": "d1"})
        assert await client.closed() == 4410
        assert server.status_of(711) == "OFFLINE"

    run(story())


def test_rest_changes_nothing_but_platform_and_idleness_of_a_connected_device(server: Server) -> None:
    async def story() -> None:
        client = await Client.hello(server, 712)
        server.online(712, "d1", "IOS", idle=True)
        changed = await client.receive("self")
        assert changed["devices"][0] | {"onlineTime": ""} == {
            "deviceId": "d1",
            "platform": "IOS",
            "onlineTime": "",
            "idle": True,
        }
        await client.close()
        assert server.status_of(712) == "OFFLINE"  # the connection still held it

    run(story())


def test_all_sessions_of_a_user_are_told_their_own_truth(server: Server) -> None:
    async def story() -> None:
        phone = await Client.hello(server, 713, "phone", platform="IOS")
        laptop = await Client.hello(server, 713, "laptop", platform="PC")
        assert [device["deviceId"] for device in laptop.heard[0]["self"]["devices"]] == ["phone", "laptop"]
        assert len((await phone.receive("self"))["devices"]) == 2
        await laptop.ask(type="status", status="OFFLINE", statusText="away till Monday")
        for client in (phone, laptop):
            told = await client.receive(lambda message: message["type"] == "self" and message["override"] is not None)
            assert (told["override"], told["statusText"]) == ({"status": "OFFLINE"}, "away till Monday")
            assert len(told["devices"]) == 2
        await vanish(phone, laptop)

    run(story())


def test_invisible_is_offline_for_everyone_else_whatever_happens_underneath(server: Server) -> None:
    async def story() -> None:
        watcher = await Client.observe(server, [714])
        await watcher.receive("snapshot")
        client = await Client.hello(server, 714)
        await watcher.change_of(714, "ONLINE")
        await client.ask(type="status", status="OFFLINE", statusText="secret")
        hidden = await watcher.change_of(714, "OFFLINE")
        assert (hidden["platforms"], "statusText" in hidden) == ([], True)
        await client.ask(type="activity", idle=True)
        another = await Client.hello(server, 714, "d2", platform="IOS")
        await another.close()
        assert await watcher.hears_nothing(0.3)
        for reply in (
            (await watcher.ask(type="query", userIds=[714]))["statuses"],
            (await watcher.ask(type="watch", userIds=[714]))["statuses"],
            (await client.ask(type="watch", userIds=[714]))["statuses"],  # watching oneself shows the public view
        ):
            assert reply == [hidden]
        await vanish(watcher, client)

    run(story())


def test_a_status_of_hello_counts_only_for_a_new_session(server: Server) -> None:
    async def story() -> None:
        client = await Client.hello(server, 715, status="BUSY")
        assert client.heard[0]["self"]["override"]["status"] == "BUSY"
        await client.ask(type="status", status=None)
        again = await Client.hello(server, 715, status="BUSY")
        assert (again.heard[0]["continued"], again.heard[0]["self"]["override"]) == (True, None)
        await vanish(client, again)

    run(story())


# -- resuming --------------------------------------------------------------------------------------------------------


def test_a_cursor_that_is_covered_brings_only_what_changed(server: Server) -> None:
    async def story() -> None:
        users = list(range(720, 730))
        client = await Client.observe(server, users)
        cursor = (await client.receive("snapshot"))["cursor"]
        await client.close(1001)
        server.online(725)
        again = await Client.observe(server, users, cursor=cursor)
        assert again.heard[0]["resumed"] is True
        snapshot = await again.receive("snapshot")
        assert [(entry["userId"], entry["status"]) for entry in snapshot["statuses"]] == [(725, "ONLINE")]
        answer = server.post("/changes", {"userIds": users, "cursor": snapshot["cursor"]}).data
        assert (answer["resumed"], answer["changes"]) == (True, [])  # the same cursor serves a long poll
        back = await Client.observe(server, users, cursor=answer["cursor"])
        assert back.heard[0]["resumed"] is True
        await vanish(again, back)

    run(story())


@pytest.mark.parametrize("change", ["garbage", "foreign", "future", "long"])
def test_a_cursor_that_is_not_covered_brings_everything(server: Server, change: str) -> None:
    async def story() -> None:
        client = await Client.observe(server, [730, 731])
        epoch, seq = (await client.receive("snapshot"))["cursor"].split(".")
        cursor = {
            "garbage": "Ωnot a cursor",
            "foreign": f"{int(epoch, 16) ^ 1:x}.{seq}",
            "future": f"{epoch}.{int(seq, 16) + 2**40:x}",
            "long": "f" * 10_000,
        }[change]
        again = await Client.observe(server, [730, 731], cursor=cursor)
        assert again.heard[0]["resumed"] is False
        assert len((await again.receive("snapshot"))["statuses"]) == 2
        await vanish(client, again)

    run(story())


# -- life of the link ------------------------------------------------------------------------------------------------


def test_the_server_pings_and_drops_who_does_not_answer() -> None:
    async def story() -> None:
        client = await Client.hello(server, 1)
        assert client.heard[0]["limits"]["pingInterval"] == 200
        await asyncio.sleep(1)  # several pings, which the client's library answers
        assert (await client.ask(type="ping"))["type"] == "pong"
        client.connection.transport.pause_reading()
        watcher = await Client.observe(server, [1])
        await watcher.change_of(1, "OFFLINE")
        await vanish(client, watcher)

    with run_server(ping_interval=0.2, pong_timeout=0.3, grace_period=0.3) as server:
        run(asyncio.wait_for(story(), 10))


def test_a_user_that_flaps_is_published_at_once_up_to_a_burst_and_then_at_intervals() -> None:
    async def story() -> None:
        watcher = await Client.observe(server, [1])
        await watcher.receive("snapshot")
        client = await Client.hello(server, 1)
        await watcher.change_of(1, "ONLINE")
        for number in range(1, 31):
            await client.ask(type="status", status="BUSY", statusText=str(number))
        await watcher.receive(lambda message: message["changes"][0].get("statusText") == "30", 5)
        diffs = [message for message in watcher.heard if message["type"] == "diff"]
        assert len(diffs) <= 8  # the burst, as far as a tick did not join it, then the last value; not thirty
        await vanish(watcher, client)

    with run_server(min_publish_interval=0.5) as server:
        run(story())
