/** Every call in every state, and from every listener: carried out, or refused before anything is sent. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { entry, settled, start } from "./fakes.mjs";

const SELF = { userId: 10001, status: "ONLINE", override: null, devices: [] };

/** How each state is reached; each leaves a client that watches user 2. */
const STATES = {
  left: ({ client }) => client.bye(),
  connecting: () => {},
  "between hello and welcome": ({ socket }) => socket().open(),
  online: ({ socket }) => {
    socket().welcome();
    socket().receive({ type: "snapshot", statuses: [entry(2)], cursor: "c1" });
  },
  waiting: ({ socket }) => socket().drop(1006),
  moving: ({ socket, time }) => {
    STATES.online({ socket });
    socket().receive({ type: "reconnect", afterMs: 0, reason: "draining" });
    time.pass(0);
    socket().open();
  },
  closed: ({ socket }) => socket().drop(4403, "no"),
};

/** Each call, and by which messages the server can learn of it: a hello may say it, too. */
const CALLS = {
  watch: { call: (client) => client.watch([3]), says: ({ userIds, watch }) => (userIds ?? watch)?.includes(3) },
  unwatch: { call: (client) => client.unwatch([2]), says: ({ type, watch }) => type === "unwatch" || (type === "hello" && !watch) },
  setStatus: { call: (client) => client.setStatus("BUSY"), says: ({ type }) => type === "status" },
  activity: { call: (client) => client.activity(true), says: ({ idle }) => idle === true },
  query: { call: (client) => client.query([5]), says: ({ type }) => type === "query" },
};

/** Be a server that answers everything, on whatever socket there is, for three seconds. */
async function serve({ sockets, time }) {
  const answered = new Set();
  const entries = (userIds) => userIds.map((userId) => entry(userId));
  for (let round = 0; round < 6; round++) {
    await settled();
    for (const socket of sockets.filter(({ closedWith, isDropped }) => !closedWith && !isDropped)) {
      if (!socket.isWelcomed) {
        socket.welcome();
        socket.receive({ type: "snapshot", statuses: entries(socket.last("hello").watch ?? []), cursor: "c" });
      }
      for (const message of socket.sent.filter(({ id }) => id !== undefined)) {
        if (answered.has(message)) continue;
        answered.add(message);
        const { type, id, userIds } = message;
        if (type === "watch") socket.receive({ type: "snapshot", id, statuses: entries(userIds), cursor: "c" });
        else if (type === "query") socket.receive({ type: "statuses", id, statuses: entries(userIds) });
        else socket.receive({ type: "ok", id });
      }
    }
    time.pass(500);
  }
}

for (const [state, reach] of Object.entries(STATES)) {
  for (const [name, { call, says }] of Object.entries(CALLS)) {
    test(`${name} while ${state}`, async () => {
      const made = start({ watch: [2] });
      reach(made);
      const { client, sockets } = made;
      const isClosed = client.state === "closed";
      const before = sockets.map(({ sent }) => sent.length);
      let result = "pending";
      const calling = call(client).then(
        () => (result = "done"),
        (error) => {
          assert.equal(error.name, "PresenceError");
          result = error.error;
        },
      );
      await settled();
      if (isClosed) {
        await calling;
        assert.equal(result, "closed");
        assert.deepEqual(sockets.map(({ sent }) => sent.length), before);
        if (name === "watch") assert.deepEqual(client.watched, [2]); // not half done
        return;
      }
      await serve(made);
      assert.equal(result, "done");
      const said = sockets.flatMap(({ sent }) => sent).filter(says);
      assert.ok(said.length >= 1, "it reached the server");
      // A level is said on each connection; what is not one, once.
      if (name === "setStatus" || name === "query") assert.equal(said.length, 1);
      if (name === "unwatch") assert.deepEqual(client.watched, []);
    });
  }

  for (const [name, { call }] of Object.entries(CALLS)) {
    test(`${name} while ${state}, and then bye: each hears of it once`, async () => {
      const made = start({ watch: [2] });
      reach(made);
      const calling = call(made.client).then(
        () => "done",
        ({ error }) => error,
      );
      made.client.bye();
      made.time.pass(5_000); // for which a reply is awaited
      assert.ok(["done", "closed"].includes(await calling));
      assert.equal(made.client.state, "closed");
      assert.equal(made.client.view.stale, true);
      assert.equal(made.time.pending, 0);
    });
  }
}

test("what was sent before a bye is answered: the client waits for it, and shows itself closed at once", async () => {
  const { client, socket, time } = start();
  socket().welcome();
  const said = client.setStatus("BUSY");
  const asked = client.query([2]);
  client.bye();
  assert.deepEqual([client.state, socket().sent.at(-1).type, socket().closedWith], ["closed", "bye", null]);
  socket().receive({ type: "ok", id: 1 });
  await said;
  socket().receive({ type: "statuses", id: 2, statuses: [entry(2, "AWAY")] });
  assert.equal((await asked)[0].status, "AWAY");
  assert.deepEqual([socket().closedWith, time.pending], [{ code: 1000, reason: "bye" }, 0]);
});

test("connected anew after a bye, an old reply is still heard, and what is owed is not asked again", async () => {
  const { client, sockets, socket } = start();
  socket().welcome();
  const outcomes = [];
  for (const call of [client.query([2]), client.activity(true)]) {
    call.then(
      () => outcomes.push("done"),
      ({ error }) => outcomes.push(error),
    );
  }
  client.bye();
  client.connect();
  socket().welcome();
  sockets[0].receive({ type: "statuses", id: 1, statuses: [entry(2)] });
  sockets[0].drop(1000);
  await settled();
  assert.deepEqual(outcomes, ["done", "closed"]);
  assert.equal(socket().all("query").length, 0);
  assert.equal(client.state, "online");
});

const LISTENED = ["state connecting", "state online", "state waiting", "state closed", "self", "change", "stale true", "stale false", "error", "frame"];

/** Let a client live through everything that it tells of. */
function live({ socket, time }) {
  socket().welcome({ self: SELF });
  socket().receive({ type: "snapshot", statuses: [entry(2)], cursor: "c1" });
  socket().receive({ type: "error", code: 400, error: "invalid_request", message: "no" });
  socket().drop(1006);
  time.pass(1000);
  socket().welcome({ self: SELF });
  socket().receive({ type: "snapshot", statuses: [entry(2, "AWAY", 9)], cursor: "c2" });
  socket().drop(4403, "no");
}

for (const listened of LISTENED) {
  const [event, which] = listened.split(" ");
  const fits = ({ state, stale }) => (event === "state" ? state === which : event === "stale" ? String(stale) === which : true);
  const DO = {
    bye: (client) => client.bye(),
    connect: (client) => client.connect(),
    reconnectNow: (client) => client.reconnectNow(),
    ...Object.fromEntries(Object.entries(CALLS).map(([name, { call }]) => [name, call])),
  };
  for (const [name, call] of Object.entries(DO)) {
    test(`${name} in a listener of ${listened}`, async () => {
      const made = start({ watch: [2] });
      const { client, sockets, time } = made;
      const results = [];
      let isDone = false;
      client.addEventListener(event, ({ detail }) => {
        if (isDone || !fits(detail)) return;
        isDone = true;
        const calling = call(client);
        calling?.then(
          () => results.push("done"),
          (error) => results.push(error.name),
        );
      });
      if (listened === "state connecting") {
        client.bye();
        client.connect();
      }
      if (client.state !== "closed") live(made);
      await settled();
      assert.ok(isDone);
      if (name === "bye") {
        assert.equal(client.state, "closed");
        assert.equal(client.view.stale, true);
        assert.ok(sockets.every(({ closedWith, isDropped }) => closedWith || isDropped));
        time.pass(100_000);
        assert.equal(client.state, "closed");
      } else {
        client.bye();
      }
      await settled();
      assert.equal(time.pending, 0);
      assert.ok(results.every((result) => result === "done" || result === "PresenceError"), String(results));
    });
  }
}

test("a listener that throws stops neither the client nor who listens beside it", async () => {
  const { client, socket } = start();
  const reported = [];
  globalThis.reportError = (error) => reported.push(error.message);
  try {
    let heard = 0;
    client.addEventListener("state", () => {
      throw new Error("of the page's own");
    });
    client.addEventListener("state", { handleEvent: () => heard++ });
    client.addEventListener("state", () => heard++, { once: true });
    socket().welcome();
    assert.equal(heard, 2);
    assert.deepEqual(reported, ["of the page's own"]);
    socket().drop();
    assert.equal(heard, 3);
    assert.equal(client.state, "waiting");
  } finally {
    delete globalThis.reportError;
  }
});
