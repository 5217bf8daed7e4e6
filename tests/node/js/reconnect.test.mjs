/** A client that loses its connection: when it comes back, what it says then, and what it believes. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { entry, settled, start } from "./fakes.mjs";

const watching = (...userIds) => {
  const made = start({ watch: userIds });
  made.socket().welcome();
  made.socket().receive({ type: "snapshot", statuses: userIds.map((userId) => entry(userId, "ONLINE", 5)), cursor: "c1" });
  made.events.length = 0;
  return made;
};

test("a dropped link is tried again after the backoff, and the view is stale meanwhile", () => {
  const { client, socket, sockets, time, events } = watching(2);
  const lostAt = time.now;
  socket().drop(1006);
  assert.equal(client.state, "waiting");
  assert.equal(client.nextTryAt, lostAt + 500);
  assert.deepEqual([client.view.stale, client.view.staleSince], [true, lostAt]);
  assert.equal(client.view.get(2).status, "ONLINE");
  assert.deepEqual(events, [
    ["stale", { stale: true, since: lostAt }],
    ["state", { state: "waiting", nextTryAt: lostAt + 500, code: 1006, reason: "" }],
  ]);
  time.pass(499);
  assert.equal(sockets.length, 1);
  time.pass(1);
  assert.equal(sockets.length, 2);
  assert.equal(client.state, "connecting");
});

test("a resumed hello carries the cursor, and its snapshot merges by version", () => {
  const { client, socket, time } = watching(2, 3);
  socket().receive({ type: "diff", changes: [entry(2, "AWAY", 7)], cursor: "c2" });
  socket().drop();
  time.pass(500);
  socket().open();
  assert.deepEqual(socket().last("hello").watch, [2, 3]);
  assert.equal(socket().last("hello").cursor, "c2");
  socket().welcome({ resumed: true, continued: true });
  assert.equal(client.view.stale, true);
  socket().receive({ type: "snapshot", statuses: [entry(2, "ONLINE", 6), entry(3, "BUSY", 8)], cursor: "c3" });
  assert.deepEqual([client.view.get(2).status, client.view.get(3).status], ["AWAY", "BUSY"]);
  assert.equal(client.view.stale, false);
});

test("a cursor that was not covered gets a full snapshot, which replaces", () => {
  const { client, socket, time } = watching(2);
  socket().drop();
  time.pass(500);
  socket().welcome({ resumed: false });
  socket().receive({ type: "snapshot", statuses: [entry(2, "OFFLINE", 3)], cursor: "d1" });
  assert.equal(client.view.get(2).status, "OFFLINE");
});

test("a full snapshot that was cut off is asked for whole: no cursor speaks for half a view", () => {
  const { socket, time } = watching(2, 3);
  socket().drop();
  time.pass(500);
  socket().welcome({ resumed: false });
  socket().receive({ type: "snapshot", statuses: [entry(2, "OFFLINE", 3)], more: true });
  socket().receive({ type: "diff", changes: [entry(2, "BUSY", 9)], cursor: "d2" });
  socket().drop();
  time.pass(60_000);
  socket().open();
  assert.deepEqual(socket().last("hello").watch, [2, 3]);
  assert.equal(socket().last("hello").cursor, undefined);
});

test("users added while offline are asked for after welcome, never in the resumed hello", async () => {
  const { client, socket, time } = watching(2);
  socket().drop();
  const added = client.watch([3, 4]);
  client.unwatch([4]);
  time.pass(500);
  socket().welcome({ resumed: true });
  assert.deepEqual(socket().last("hello").watch, [2]);
  assert.deepEqual(socket().last("watch"), { type: "watch", userIds: [3], id: 1 });
  socket().receive({ type: "snapshot", statuses: [], cursor: "c2" });
  socket().receive({ type: "snapshot", id: 1, statuses: [entry(3, "BUSY", 1)], cursor: "c3" });
  await added;
  assert.equal(client.view.get(3).status, "BUSY");
});

test("a watch whose answer was lost is not covered by a cursor that came meanwhile", () => {
  const { client, socket, time } = watching(2);
  client.watch([3]);
  socket().receive({ type: "diff", changes: [entry(2, "AWAY", 7)], cursor: "c2" });
  socket().drop();
  time.pass(500);
  socket().welcome({ resumed: true });
  assert.deepEqual(socket().last("hello").watch, [2]);
  assert.deepEqual(socket().last("watch").userIds, [3]);
});

test("a user unwatched and watched again is not covered by a cursor before the second answer", () => {
  const { client, socket, time } = watching(2, 3);
  client.unwatch([2]);
  client.watch([2]);
  socket().receive({ type: "diff", changes: [entry(2, "AWAY", 6)], cursor: "c2" });
  assert.equal(client.view.has(2), false);
  socket().drop();
  time.pass(500);
  socket().welcome({ resumed: true });
  assert.deepEqual(socket().last("hello").watch, [3]);
  assert.deepEqual(socket().last("watch").userIds, [2]);
});

test("when the server cannot look up whom hello named, they are asked for anew", () => {
  const { client, socket, time } = watching(2);
  socket().drop();
  time.pass(500);
  socket().welcome();
  socket().receive({ type: "error", code: 503, error: "unavailable", message: "no engine" });
  assert.equal(client.view.has(2), false);
  time.pass(4000); // with backoff: the server has too much to do
  assert.deepEqual(socket().last("watch").userIds, [2]);
  socket().receive({ type: "snapshot", id: 1, statuses: [entry(2, "BUSY", 9)], cursor: "d1" });
  assert.equal(client.view.get(2).status, "BUSY");
});

test("with nothing held there is nothing to resume: hello names everyone and carries no cursor", () => {
  const { client, socket, time } = watching(2);
  socket().drop();
  client.unwatch([2]);
  client.watch([3]);
  time.pass(500);
  socket().open();
  assert.deepEqual(socket().last("hello").watch, [3]);
  assert.equal(socket().last("hello").cursor, undefined);
});

test("watching and unwatching between hello and welcome is made good after welcome", () => {
  const { client, socket, time } = watching(2, 3);
  socket().drop();
  time.pass(500);
  socket().open();
  client.unwatch([2, 3]);
  client.watch([3, 4]);
  socket().welcome({ resumed: true });
  const said = socket().sent.slice(-2);
  assert.deepEqual(said.map(({ type, userIds }) => [type, userIds]), [["unwatch", [2, 3]], ["watch", [3, 4]]]);
});

test("a status is never replayed, idleness is said again", async () => {
  const { client, socket, time } = watching(2);
  client.setStatus("BUSY");
  client.activity(true);
  socket().receive({ type: "ok", id: 1 });
  const lost = client.setStatus("AWAY");
  time.pass(60);
  socket().drop();
  await assert.rejects(lost, { error: "disconnected" });
  time.pass(500);
  socket().welcome({ continued: true });
  const { status, idle, idleForMs } = socket().last("hello");
  assert.deepEqual([status, idle, idleForMs], [undefined, true, 560]);
  assert.equal(socket().last("status"), undefined);
});

test("what was said of activity while offline goes with the next hello, and holds when the server was told", async () => {
  const { client, socket, time } = watching(2);
  socket().drop();
  let isTold = false;
  const telling = client.activity(false).then(() => (isTold = true));
  time.pass(500);
  socket().open();
  assert.equal(socket().last("hello").idle, false);
  await settled();
  assert.equal(isTold, false);
  socket().welcome();
  await telling;
  assert.equal(socket().last("activity"), undefined);
});

test("codes that say do not come back close for good", async () => {
  for (const code of [4400, 4403, 4409, 4410, 4411, 4413, 1009]) {
    const { client, socket, sockets, time } = start();
    const opening = client.connect();
    socket().drop(code, "because");
    await assert.rejects(opening, { error: "closed" });
    assert.deepEqual([client.state, client.closeCode, client.closeReason], ["closed", code, "because"]);
    time.pass(600_000);
    assert.equal(sockets.length, 1, String(code));
  }
});

test("codes that say come back do", () => {
  for (const code of [1001, 1005, 1006, 1011, 1012, 1013, 4503, 4504, 4508, 4529]) {
    const { client, socket, sockets, time } = start();
    socket().drop(code);
    assert.equal(client.state, "waiting");
    time.pass(1000);
    assert.equal(sockets.length, 2, String(code));
  }
});

test("the wait doubles from try to try, and starts anew once a connection has lasted", () => {
  const { socket, client, time } = start();
  const waits = [];
  for (let i = 0; i < 7; i++) {
    socket().drop();
    waits.push(client.nextTryAt - time.now);
    time.pass(waits.at(-1));
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
  socket().welcome();
  socket().drop(4503);
  assert.equal(client.nextTryAt - time.now, 15_000); // welcomed, but thrown out at once
  time.pass(15_000);
  socket().welcome();
  time.pass(5_000);
  socket().drop();
  assert.equal(client.nextTryAt - time.now, 500);
});

test("reconnectNow does not wait", () => {
  const { client, socket, sockets, time } = start();
  client.reconnectNow();
  assert.equal(sockets.length, 1);
  socket().drop();
  client.reconnectNow();
  assert.equal(sockets.length, 2);
  assert.equal(client.nextTryAt, null);
  time.pass(500);
  assert.equal(sockets.length, 2);
  socket().drop(4409);
  client.reconnectNow();
  assert.equal(sockets.length, 3);
});

test("bye while waiting stays away", () => {
  const { client, socket, sockets, time } = start();
  socket().drop();
  client.bye();
  assert.equal(client.state, "closed");
  time.pass(600_000);
  assert.equal(sockets.length, 1);
});

test("the token is asked for before each connection; 4401 asks once more, then it is over", async () => {
  const asked = [];
  const { client, socket, sockets } = start({ token: async () => `token-${asked.push(1)}` });
  await settled();
  socket().open();
  assert.equal(socket().last("hello").token, "token-1");
  socket().drop(4401);
  await settled();
  assert.equal(client.state, "connecting");
  socket().open();
  assert.equal(socket().last("hello").token, "token-2");
  socket().drop(4401, "expired");
  await settled();
  assert.equal(sockets.length, 2);
  assert.deepEqual([client.state, client.closeCode], ["closed", 4401]);
});

test("a connection that lasted makes the next 4401 worth another try; a welcome alone does not", async () => {
  const { client, socket, sockets, time } = start({ token: () => "t" });
  await settled();
  for (let i = 1; i < 4; i++) {
    socket().welcome();
    time.pass(5_000);
    socket().drop(4401);
    await settled();
    assert.equal(sockets.length, i + 1);
  }
  socket().welcome();
  socket().drop(4401);
  await settled();
  assert.equal(sockets.length, 4);
  assert.equal(client.state, "closed");
});

test("a token that cannot be renewed is not tried twice", () => {
  const { client, socket } = start({ token: "fixed" });
  socket().drop(4401);
  assert.equal(client.state, "closed");
});

test("a token that cannot be had now is asked for again later", async () => {
  let online = false;
  const token = () => (online ? "t" : Promise.reject(new Error("no network")));
  const { client, sockets, time } = start({ token });
  await settled();
  assert.equal(client.state, "waiting");
  online = true;
  time.pass(500);
  await settled();
  assert.equal(sockets.length, 1);
});

test("a token that comes after bye makes no connection", async () => {
  const { client, sockets } = start({ token: async () => "late" });
  client.bye();
  await settled();
  assert.equal(sockets.length, 0);
});

test("whoever hears nothing pings, and gives up when nothing answers", () => {
  const { client, socket, time } = watching(2);
  time.pass(25_999); // a second longer than the server's `pingInterval`
  assert.equal(socket().last("ping"), undefined);
  time.pass(1);
  assert.equal(socket().all("ping").length, 1);
  time.pass(9_999);
  assert.equal(client.state, "online");
  time.pass(1);
  assert.equal(client.state, "waiting");
  assert.equal(socket().closedWith.code, 3001); // no deliberate end, should the server still hear it
});

test("anything heard is a sign of life", () => {
  const { client, socket, time } = watching(2);
  time.pass(20_000);
  socket().receive({ type: "diff", changes: [], cursor: "c2" });
  time.pass(20_000);
  assert.equal(socket().last("ping"), undefined);
  time.pass(6_000);
  assert.equal(socket().all("ping").length, 1);
  time.pass(5_000);
  socket().receive({ type: "pong" });
  time.pass(25_999);
  assert.equal(socket().all("ping").length, 1);
  time.pass(1);
  assert.equal(socket().all("ping").length, 2);
  assert.equal(client.state, "online");
});

test("a server that never says welcome is given up", () => {
  const { client, socket, time } = start();
  socket().open();
  time.pass(15_000);
  assert.equal(client.state, "waiting");
  assert.equal(socket().closedWith.code, 3001);
});

test("a frame that is no message is given up with the connection, which is then made anew", () => {
  for (const wrong of ["{", "7", "null", new Uint8Array(2)]) {
    const { client, socket } = watching(2);
    socket().onmessage({ data: wrong });
    assert.equal(client.state, "waiting");
  }
});
