/** A server that is about to end says `reconnect`: the client connects anew first and lets go of the old one then. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { entry, settled, start } from "./fakes.mjs";

const draining = () => {
  const made = start({ watch: [2] });
  const old = made.socket();
  old.welcome();
  old.receive({ type: "snapshot", statuses: [entry(2, "ONLINE", 5)], cursor: "c1" });
  old.receive({ type: "reconnect", afterMs: 3000, reason: "restart" });
  made.events.length = 0;
  return { ...made, old };
};

test("it waits as long as it was told, then connects beside the old link and resumes", () => {
  const { client, sockets, socket, old, time, events } = draining();
  time.pass(2_999);
  assert.equal(sockets.length, 1);
  time.pass(1);
  assert.equal(sockets.length, 2);
  assert.equal(old.closedWith, null);
  socket().welcome({ resumed: true, continued: true });
  assert.equal(socket().last("hello").cursor, "c1");
  assert.equal(old.closedWith.code, 3001); // 1001 where a script may say so
  socket().receive({ type: "snapshot", statuses: [entry(2, "AWAY", 6)], cursor: "d1" });
  assert.equal(client.view.get(2).status, "AWAY");
  assert.equal(client.state, "online");
  assert.equal(client.view.stale, false);
  assert.ok(!events.some(([type]) => type === "stale"));
});

test("where the socket can, the old link is closed with 1001", () => {
  const { socket, old, time } = draining();
  let closed;
  old.close = (code) => (closed = code);
  time.pass(3000);
  socket().welcome();
  assert.equal(closed, 1001);
});

test("until the new one is there the old one serves, and when it fails the old one stays", () => {
  const { client, sockets, socket, old, time } = draining();
  time.pass(3000);
  old.receive({ type: "diff", changes: [entry(2, "BUSY", 6)], cursor: "c2" });
  assert.equal(client.view.get(2).status, "BUSY");
  socket().drop(1006); // such as a 503 at the upgrade
  assert.equal(client.state, "online");
  assert.equal(old.closedWith, null);
  client.activity(true);
  old.receive({ type: "ok", id: old.last("activity").id });
  time.pass(500);
  assert.equal(sockets.length, 3);
  socket().welcome({ resumed: true });
  assert.equal(socket().last("hello").cursor, "c2");
  assert.equal(old.closedWith.code, 3001);
});

test("replies that the old link still owes are waited for", async () => {
  const { client, socket, old, time } = draining();
  const setting = client.setStatus("BUSY");
  time.pass(3000);
  socket().welcome({ resumed: true });
  assert.equal(old.closedWith, null);
  old.receive({ type: "diff", changes: [entry(2, "OFFLINE", 9)], cursor: "c9" });
  assert.equal(client.view.get(2).status, "ONLINE");
  old.receive({ type: "ok", id: 1 });
  await setting;
  assert.equal(old.closedWith.code, 3001);
});

test("the same server closes the old link with 4409: the new one goes on", () => {
  const { client, sockets, socket, old, time } = draining();
  time.pass(3000);
  old.drop(4409, "replaced");
  assert.equal(client.state, "connecting");
  socket().welcome({ resumed: true });
  socket().receive({ type: "snapshot", statuses: [], cursor: "d1" });
  assert.equal(client.state, "online");
  assert.equal(client.view.stale, false);
  assert.equal(sockets.length, 2);
});

test("when the old link ends before the time to move, it is lost as any other", () => {
  const { client, sockets, old, time } = draining();
  old.drop(1012);
  assert.equal(client.state, "waiting");
  time.pass(3000);
  assert.equal(sockets.length, 2);
});

test("tries to move that failed do not make the wait after the end longer", () => {
  const { client, socket, old, time } = draining();
  time.pass(3000);
  for (const wait of [500, 1000, 2000]) {
    socket().drop(1006);
    time.pass(wait);
  }
  socket().drop(1006);
  old.drop(1012);
  assert.equal(client.nextTryAt - time.now, 500);
});

test("a token that is late for the move makes one link, which takes the place of the old one", async () => {
  let give;
  const tokens = [Promise.resolve("first"), new Promise((resolve) => (give = resolve))];
  const { client, sockets, socket, time } = start({ token: () => tokens.shift() });
  await settled();
  socket().welcome();
  socket().receive({ type: "reconnect", afterMs: 0, reason: "restart" });
  time.pass(0);
  await settled();
  socket().drop(1012);
  assert.equal(client.state, "connecting");
  give("second");
  await settled();
  assert.equal(sockets.length, 2);
  socket().welcome();
  assert.equal(socket().last("hello").token, "second");
  assert.equal(client.state, "online");
});

test("bye during the move ends both links", () => {
  const { client, sockets, old, time } = draining();
  time.pass(3000);
  client.bye();
  // The second has not said hello yet: there is nobody to say bye to.
  assert.deepEqual([old.closedWith.code, sockets[1].closedWith.code], [1000, 3001]);
  assert.equal(time.pending, 0);
});
