/** A client that stays connected: handshake, watching, requests, what it tells the page. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { connect, PresenceClient } from "../../../client_sdk/js/presence.js";
import { entry, FakeSocket, FakeTime, settled, start } from "./fakes.mjs";

const { version } = JSON.parse(readFileSync(new URL("../../../client_sdk/js/package.json", import.meta.url), "utf8"));

const online = (options) => {
  const made = start(options);
  made.socket().welcome();
  return made;
};

test("hello comes first and names user, device, platform and whom to watch", () => {
  const { socket, client } = start({ platform: "PC", watch: [2, 3], token: "secret", status: "BUSY" });
  assert.equal(client.state, "connecting");
  assert.deepEqual(socket().protocols, ["presence.v1.json"]);
  assert.deepEqual(socket().sent, []);
  socket().open();
  assert.deepEqual(socket().sent, [
    {
      type: "hello",
      userId: 10001,
      deviceId: "tab-1",
      platform: "PC",
      token: "secret",
      status: "BUSY",
      watch: [2, 3],
      client: `presence-js/${version}`,
    },
  ]);
});

test("without a user it is an observer", () => {
  const { socket } = start({ userId: undefined, deviceId: undefined, watch: [2] });
  socket().open();
  assert.deepEqual(socket().sent, [{ type: "hello", observer: true, watch: [2], client: `presence-js/${version}` }]);
});

test("connect() of the module makes a client that connects at once", async () => {
  const WebSocket = FakeSocket.kind();
  const client = connect({ url: "ws://localhost/", userId: 7, WebSocket, timers: new FakeTime() });
  assert.equal(client.state, "connecting");
  assert.match(client.deviceId, /^[0-9a-f]{32}$/);
  WebSocket.all[0].welcome();
  assert.equal((await client.connect()).sessionId, "s1");
});

test("welcome makes it online and tells the user's own truth", () => {
  const { client, socket, events } = start();
  const self = { userId: 10001, status: "BUSY", override: { status: "BUSY" }, devices: [] };
  socket().welcome({ continued: true, self });
  assert.equal(client.state, "online");
  assert.deepEqual(client.self, self);
  assert.deepEqual(
    events.map(([type]) => type),
    ["state", "state", "self", "stale"],
  );
  assert.equal(events.at(-3)[1].continued, true);
  socket().receive({ type: "self", ...self, status: "OFFLINE" });
  assert.equal(client.self.status, "OFFLINE");
});

test("the view turns fresh with the last part of the first snapshot, not before", () => {
  const { client, socket, events } = start({ watch: [2, 3] });
  assert.equal(client.view.stale, true);
  assert.equal(client.view.staleSince, null);
  socket().welcome();
  socket().receive({ type: "snapshot", statuses: [entry(2)], more: true });
  assert.equal(client.view.stale, true);
  socket().receive({ type: "snapshot", statuses: [entry(3, "AWAY")], cursor: "c1" });
  assert.equal(client.view.stale, false);
  assert.equal(client.view.get(2).status, "ONLINE");
  assert.deepEqual([...client.view.keys()], [2, 3]);
  assert.equal(client.view.size, 2);
  const changes = events.filter(([type]) => type === "change").map(([, detail]) => detail.changes);
  assert.deepEqual(changes, [
    [{ userId: 2, before: undefined, after: entry(2) }],
    [{ userId: 3, before: undefined, after: entry(3, "AWAY") }],
  ]);
});

test("a diff changes the view; an older or repeated one does not", () => {
  const { client, socket, events } = online({ watch: [2] });
  socket().receive({ type: "snapshot", statuses: [entry(2, "ONLINE", 5)], cursor: "c1" });
  events.length = 0;
  socket().receive({ type: "diff", changes: [entry(2, "BUSY", 7)], cursor: "c2" });
  socket().receive({ type: "diff", changes: [entry(2, "BUSY", 7)], cursor: "c2" });
  socket().receive({ type: "diff", changes: [entry(2, "AWAY", 6)], cursor: "c2" });
  assert.equal(client.view.get(2).status, "BUSY");
  assert.equal(events.length, 1);
});

test("watch asks for those not yet watched and holds when their entries are there", async () => {
  const { client, socket } = online();
  let done = false;
  client.watch([2, 3, 2]).then(() => (done = true));
  assert.deepEqual(socket().last("watch"), { type: "watch", userIds: [2, 3], id: 1 });
  socket().receive({ type: "snapshot", id: 1, statuses: [entry(2)], more: true });
  await settled();
  assert.equal(done, false);
  socket().receive({ type: "snapshot", id: 1, statuses: [entry(3)], cursor: "c1" });
  await settled();
  assert.equal(done, true);
  await client.watch([3]);
  assert.equal(socket().all("watch").length, 1);
});

test("who is no longer watched is forgotten at once, and late news of him ignored", async () => {
  const { client, socket, events } = online({ watch: [2, 3] });
  socket().receive({ type: "snapshot", statuses: [entry(2), entry(3)], cursor: "c1" });
  const left = client.unwatch([2]);
  assert.deepEqual([...client.view.keys()], [3]);
  assert.deepEqual(client.watched, [3]);
  assert.deepEqual(socket().last("unwatch").userIds, [2]);
  events.length = 0;
  socket().receive({ type: "diff", changes: [entry(2, "BUSY", 9)], cursor: "c2" });
  assert.equal(client.view.has(2), false);
  assert.deepEqual(events, []);
  socket().receive({ type: "ok", id: socket().last("unwatch").id });
  await left;
});

test("a refused watch fails, is told as an error and leaves nothing wanted", async () => {
  const { client, socket, events } = online();
  const watching = client.watch([2]);
  socket().receive({ type: "error", id: 1, code: 400, error: "too_many_watched", message: "at most 5000" });
  await assert.rejects(watching, { name: "PresenceError", error: "too_many_watched", code: 400 });
  assert.deepEqual(client.watched, []);
  assert.equal(events.at(-1)[0], "error");
});

test("setStatus says what is meant and holds with the server's ok", async () => {
  const { client, socket } = online();
  const setting = client.setStatus("BUSY", { until: new Date("2025-11-09T15:00:00.250Z"), statusText: "lunch" });
  assert.deepEqual(socket().last("status"), {
    type: "status",
    status: "BUSY",
    until: "2025-11-09T15:00:01Z", // rounded up
    statusText: "lunch",
    id: 1,
  });
  socket().receive({ type: "ok", id: 1 });
  await setting;
  client.setStatus(null);
  assert.deepEqual(socket().last("status"), { type: "status", status: null, id: 2 });
  socket().receive({ type: "error", id: 2, code: 400, error: "invalid_request", message: "no", details: [] });
});

test("a text that no server takes is refused before anything is sent, and the character is named", () => {
  const { client, socket } = online();
  const sent = socket().sent.length;
  for (const statusText of ["a\u202eb", "x".repeat(141), 5]) {
    assert.throws(() => client.setStatus("BUSY", { statusText }), { name: "RangeError", message: /^statusText: must / });
  }
  assert.throws(() => client.setStatus("BUSY", { statusText: "a\u202eb" }), /U\+202E/);
  for (const until of [new Date("soon"), "soon", "2025-11-09 15:00:00", 1_762_700_400]) {
    assert.throws(() => client.setStatus("BUSY", { until }), { name: "RangeError", message: /^until: / });
  }
  for (const deviceId of ["", "a\nb", "\u{10ffff}", "x".repeat(129), 7]) {
    assert.throws(() => start({ deviceId }), { name: "RangeError", message: /^deviceId: must / });
  }
  assert.equal(socket().sent.length, sent);
  client.setStatus("BUSY", { statusText: "\u{1f600}".repeat(140) });
  assert.equal(socket().sent.length, sent + 1);
  start({ deviceId: "\u{1f469}\u200d\u{1f4bb} ".repeat(32) });
});

test("query answers in the order and with the repeats of the request, and the view stays as it is", async () => {
  const { client, socket } = online();
  const asking = client.query([3, 2, 3]);
  assert.deepEqual(socket().last("query").userIds, [3, 2, 3]);
  socket().receive({ type: "statuses", id: 1, statuses: [entry(3), entry(2), entry(3)] });
  assert.deepEqual(
    (await asking).map((each) => each.userId),
    [3, 2, 3],
  );
  assert.equal(client.view.size, 0);
});

test("an answer to a query that comes in parts is one", async () => {
  const { client, socket } = online();
  const asking = client.query([3, 2, 3]);
  socket().receive({ type: "statuses", id: 1, statuses: [entry(3), entry(2)], more: true });
  socket().receive({ type: "statuses", id: 1, statuses: [entry(3)] });
  assert.deepEqual(
    (await asking).map((each) => each.userId),
    [3, 2, 3],
  );
});

test("activity is said with how long it has lasted", () => {
  const { client, socket } = online();
  client.activity(true, { idleForMs: 300_000 });
  assert.deepEqual(socket().last("activity"), { type: "activity", idle: true, idleForMs: 300_000, id: 1 });
  client.activity(false);
  assert.deepEqual(socket().last("activity"), { type: "activity", idle: false, id: 2 });
});

test("bye says so, closes with 1000 and stays away", async () => {
  const { client, socket, sockets, time } = online({ watch: [2] });
  socket().receive({ type: "snapshot", statuses: [entry(2)], cursor: "c1" });
  client.bye();
  assert.deepEqual(socket().sent.at(-1), { type: "bye" });
  assert.equal(socket().closedWith.code, 1000);
  assert.deepEqual([client.state, client.closeCode, client.closeReason], ["closed", 1000, "bye"]);
  assert.equal(client.view.stale, true);
  assert.equal(time.pending, 0);
  time.pass(600_000);
  assert.equal(sockets.length, 1);
  await assert.rejects(client.setStatus("BUSY"), { name: "PresenceError", error: "closed" });
});

test("after bye, connect starts anew and still watches the same users", () => {
  const { client, socket, sockets } = online({ watch: [2] });
  client.bye();
  client.connect();
  socket().open();
  assert.equal(sockets.length, 2);
  assert.deepEqual(socket().last("hello").watch, [2]);
});

test("every frame is told, with its direction and time", () => {
  const { client, socket, time } = start();
  const frames = [];
  client.addEventListener("frame", ({ detail }) => frames.push(detail));
  socket().welcome();
  assert.deepEqual(
    frames.map(({ direction, text }) => [direction, JSON.parse(text).type]),
    [
      ["out", "hello"],
      ["in", "welcome"],
    ],
  );
  assert.equal(frames[0].time, time.now);
});

test("an error that answers no request is told; messages of unknown types are let pass", () => {
  const { client, socket, events } = online();
  events.length = 0;
  socket().receive({ type: "error", code: 400, error: "invalid_request", message: "what?" });
  socket().receive({ type: "something-new", statuses: 3 });
  assert.deepEqual(
    events.map(([type, detail]) => [type, detail.error]),
    [["error", "invalid_request"]],
  );
  assert.equal(client.state, "online");
});

test("user ids that JavaScript or the protocol cannot hold are refused by name", () => {
  const { client } = start();
  for (const wrong of [0, -1, 1.5, 2 ** 53, "7", null]) {
    assert.throws(() => client.watch([wrong]), /userIds: .* is not a user id/);
    assert.throws(() => new PresenceClient({ url: "ws://localhost/", userId: wrong }), /userId: /);
  }
});

test("a server whose user ids are of another kind is left at once, with the words what to pass", async () => {
  const { client, socket, events } = start();
  const connecting = client.connect().then(
    () => null,
    (failure) => failure,
  );
  socket().welcome({ userIds: "string" });
  assert.equal(client.state, "closed");
  const failure = await connecting;
  assert.match(String(failure), /user ids are "string", and this client's "number": pass userIds: "string"/);
  assert.equal(events.at(-1)[1].state ?? "closed", "closed");
});

test("ids of 64 bits are strings from end to end, and strings are ids", () => {
  const greatest = "9223372036854775807";
  const { client, socket } = online({ userIds: "int64", userId: 2n ** 63n - 1n, watch: [7, "8"] });
  assert.equal(client.state, "closed"); // `online` says nothing of a kind
  const other = start({ userIds: "int64", userId: greatest, watch: [7, "8"] });
  other.socket().welcome({ userIds: "int64", self: null });
  assert.deepEqual(other.socket().last("hello").watch, ["7", "8"]);
  assert.equal(other.socket().last("hello").userId, greatest);
  other.socket().receive({ type: "snapshot", statuses: ["7", "8"].map((userId) => ({ ...entry(1), userId })), cursor: "c" });
  assert.deepEqual([...other.client.view.keys()], ["7", "8"]);
  assert.equal(socket().last("hello").userId, greatest);
});
