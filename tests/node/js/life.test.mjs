/** What a page needs of a client beside the protocol: to be told, to be back at once, time limits, clocks, secrets. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import { test } from "node:test";

import WebSocket from "ws";

import { connect, NotConnected, PresenceClient, SignedOut } from "../../../client_sdk/js/presence.js";
import { entry, FakeSocket, FakeTime, LIMITS, settled, start } from "./fakes.mjs";

const listening = (server) => new Promise((done) => server.listen(0, "127.0.0.1", () => done(server.address().port)));

// --- who waits for connect()

test("a refused handshake is told to whoever waits for connect(), with its HTTP status", async () => {
  const server = createServer();
  server.on("upgrade", (request, socket) => socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"));
  const client = new PresenceClient({ url: `http://127.0.0.1:${await listening(server)}`, userId: 1, WebSocket });
  try {
    await assert.rejects(client.connect(), (error) => {
      assert.ok(error instanceof NotConnected);
      assert.deepEqual([error.error, error.status], ["not_online", 403]);
      assert.match(error.message, /HTTP 403/);
      return true;
    });
    assert.equal(client.state, "waiting"); // and it goes on trying
  } finally {
    client.bye();
    server.close();
  }
});

test("a server that cannot be reached is told after two tries, and the client goes on", async () => {
  const server = createTcpServer();
  const port = await listening(server);
  await new Promise((done) => server.close(done));
  const client = new PresenceClient({ url: `http://127.0.0.1:${port}`, userId: 1, WebSocket, backoff: { base: 50 } });
  try {
    await assert.rejects(client.connect(), { error: "not_online", message: /cannot connect.*goes on trying/ });
    assert.equal(client.state, "waiting");
  } finally {
    client.bye();
  }
});

test("one try that fails is not told: a server that restarts is there a moment later", async () => {
  const { client, socket, time } = start();
  const connecting = client.connect();
  socket().drop(1006);
  time.pass(1000);
  socket().welcome();
  assert.equal((await connecting).sessionId, "s1");
});

test("a URL that is none, or that this WebSocket does not take, is told at once", async () => {
  assert.throws(() => connect({ url: "example.org", WebSocket: FakeSocket }), /url: "example.org" is not a server's URL/);
  class Strict {
    constructor() {
      throw new DOMException("An insecure WebSocket may not be made from a page over HTTPS", "SecurityError");
    }
  }
  const client = connect({ url: "http://example.org", userId: 1, WebSocket: Strict, timers: new FakeTime() });
  assert.equal(client.state, "closed");
  await assert.rejects(client.connect(), { name: "PresenceError", message: /SecurityError/ });
});

test("without a WebSocket it says what to pass", () => {
  const { WebSocket: own } = globalThis;
  delete globalThis.WebSocket;
  try {
    assert.throws(() => new PresenceClient({ url: "http://localhost", userId: 1 }), /pass WebSocket/);
  } finally {
    if (own) globalThis.WebSocket = own;
  }
});

test("connect() has a time limit, and can be called again", async () => {
  const { client, socket, time } = start({ openTimeout: 7000 });
  const connecting = client.connect();
  time.pass(7000);
  await assert.rejects(connecting, { error: "not_online", message: /within 7 s \(last try: no answer yet\); .*goes on/ });
  const again = client.connect({ timeout: 1000 });
  socket().welcome();
  await again;
});

test("aborting connect() ends it with the signal's reason, and closes the client", async () => {
  const { client, socket, time } = start();
  const aborter = new AbortController();
  const connecting = client.connect({ signal: aborter.signal });
  aborter.abort();
  await assert.rejects(connecting, { name: "AbortError" });
  assert.equal(client.state, "closed");
  assert.ok(socket().closedWith);
  assert.equal(time.pending, 0);
  await assert.rejects(client.connect({ signal: AbortSignal.abort() }), { name: "AbortError" });
  assert.equal(client.state, "closed"); // was not even started
});

test("a signal that is aborted once it is online changes nothing", async () => {
  const { client, socket } = start();
  const aborter = new AbortController();
  const connecting = client.connect({ signal: aborter.signal });
  socket().welcome();
  await connecting;
  aborter.abort();
  assert.equal(client.state, "online");
});

// --- time limits of calls

test("a call that is not answered in time fails, and so does one that could not be sent", async () => {
  const { client, socket, time } = start({ timeout: 3000 });
  const unsent = client.setStatus("BUSY");
  time.pass(3000);
  await assert.rejects(unsent, { error: "not_online" });
  socket().welcome();
  assert.equal(socket().last("status"), undefined); // it is never sent later
  const sent = client.setStatus("AWAY", { timeout: 500 });
  time.pass(500);
  await assert.rejects(sent, { error: "timeout" });
});

test("a call can be aborted", async () => {
  const { client, socket } = start();
  const aborter = new AbortController();
  const asking = client.query([2], { signal: aborter.signal });
  aborter.abort(new Error("the page has changed"));
  await assert.rejects(asking, { message: "the page has changed" });
  socket().welcome();
  assert.equal(socket().last("query"), undefined);
});

// --- back at once

/** The events of a browser, where there is none. */
async function inBrowser(story) {
  const window = new EventTarget();
  const document = Object.assign(new EventTarget(), { visibilityState: "visible" });
  const kept = ["addEventListener", "removeEventListener", "document"].map((name) => [name, globalThis[name]]);
  globalThis.addEventListener = (...parts) => window.addEventListener(...parts);
  globalThis.removeEventListener = (...parts) => window.removeEventListener(...parts);
  globalThis.document = document;
  try {
    await story({ window, document });
  } finally {
    for (const [name, value] of kept) {
      if (value === undefined) delete globalThis[name];
      else globalThis[name] = value;
    }
  }
}

for (const [type, place] of [["online", "window"], ["pageshow", "window"], ["visibilitychange", "document"]]) {
  test(`${type}: the next try is made at once`, () =>
    inBrowser((places) => {
      const { client, socket, sockets } = start();
      socket().drop();
      assert.equal(client.state, "waiting");
      places[place].dispatchEvent(new Event(type));
      assert.equal(sockets.length, 2);
      client.bye();
      places[place].dispatchEvent(new Event(type));
      assert.equal(sockets.length, 2);
    }));

  test(`${type}: a link that died meanwhile is found within pongTimeout`, () =>
    inBrowser((places) => {
      const { client, socket, time } = start();
      socket().welcome();
      time.pass(5000);
      places[place].dispatchEvent(new Event(type));
      places[place].dispatchEvent(new Event(type));
      assert.equal(socket().all("ping").length, 1);
      time.pass(LIMITS.pongTimeout);
      assert.equal(client.state, "waiting");
    }));
}

test("a page that is hidden does not wake it", () =>
  inBrowser(({ document }) => {
    const { socket, sockets } = start();
    socket().drop();
    document.visibilityState = "hidden";
    document.dispatchEvent(new Event("visibilitychange"));
    assert.equal(sockets.length, 1);
  }));

test("a try that hangs when the network comes back is made anew", () => {
  let wake;
  const { client, sockets, time } = start({ wakeups: (callback) => ((wake = callback), () => {}) });
  time.pass(1000);
  wake();
  assert.equal(sockets.length, 1); // it may well come about
  time.pass(2000);
  wake();
  assert.equal(sockets.length, 2);
  assert.ok(sockets[0].closedWith);
  sockets[1].welcome();
  assert.equal(client.state, "online");
});

// --- clocks

test("a dead link is found although Date is set back", async () => {
  const { now } = Date;
  const Socket = FakeSocket.kind();
  const client = new PresenceClient({ url: "ws://localhost", userId: 1, deviceId: "d", WebSocket: Socket });
  client.connect();
  try {
    Socket.all[0].welcome({ limits: { ...LIMITS, pingInterval: 20, pongTimeout: 20 } });
    Date.now = () => now() - 7_200_000;
    await new Promise((done) => client.addEventListener("state", ({ detail }) => detail.state === "waiting" && done()));
    assert.equal(Socket.all[0].closedWith.code, 3001);
  } finally {
    Date.now = now;
    client.bye();
  }
});

test("a status for a time ends by the server's clock, whatever this one says", () => {
  const { client, socket, time } = start();
  socket().welcome({ serverTime: "2031-01-01T00:00:00Z" });
  time.pass(10_000);
  client.setStatus("BUSY", { forMs: 60_000 });
  assert.equal(socket().last("status").until, "2031-01-01T00:01:10Z");
  for (const wrong of [-1, 367 * 86_400_000, Number.NaN, "60"]) {
    assert.throws(() => client.setStatus("BUSY", { forMs: wrong }), { name: "RangeError", message: /^forMs: / });
  }
});

test("forMs counts from the call, also if it has to wait for the connection", () => {
  const { client, socket, time } = start();
  client.setStatus("BUSY", { forMs: 60_000 });
  time.pass(5000);
  socket().welcome({ serverTime: "2031-01-01T00:00:00Z" });
  assert.equal(socket().last("status").until, "2031-01-01T00:00:55Z");
});

// --- tokens

test("a token that never settles is given up, and asked for again", async () => {
  let asked = 0;
  const { client, sockets, time } = start({ token: () => (asked++ ? "t" : new Promise(() => {})) });
  await settled();
  time.pass(30_000);
  assert.equal(client.state, "waiting");
  time.pass(1000);
  await settled();
  assert.deepEqual([asked, sockets.length], [2, 1]);
});

test("a token function that throws is told, and asked again with backoff", async () => {
  let asked = 0;
  const token = () => {
    asked++;
    throw new Error("no network");
  };
  const { client, time } = start({ token });
  await assert.rejects(client.connect(), { error: "not_online", message: /no token: no network/ });
  for (let second = 0; second < 100; second++) {
    time.pass(1000);
    await settled();
  }
  assert.ok(asked > 5 && asked < 15, String(asked));
  assert.equal(client.state, "waiting");
});

for (const [name, token] of Object.entries({
  "gives null": () => null,
  "gives nothing": async () => {},
  "throws SignedOut": () => {
    throw new SignedOut();
  },
  "gives SignedOut": async () => new SignedOut(),
})) {
  test(`a token function that ${name} ends the client`, async () => {
    const { client, sockets, time } = start({ token });
    await assert.rejects(client.connect(), { error: "closed", message: /signed out/ });
    assert.deepEqual([client.state, client.closeCode, client.closeReason], ["closed", 4401, "signed out"]);
    time.pass(600_000);
    await settled();
    assert.equal(sockets.length, 0);
  });
}

test("a token is stripped; one that cannot go into a header is refused, and not repeated", async () => {
  const { socket } = start({ token: "\ufeff t.T~ \r\n" });
  socket().open();
  assert.equal(socket().last("hello").token, "t.T~");
  for (const token of ["", " \n", "SECRET\nX", "SECRET\u0000", "SECRET\ud800", 17]) {
    assert.throws(
      () => start({ token }),
      (error) => /^token: /.test(error.message) && !error.message.includes("SECRET"),
    );
    const { client } = start({ token: () => token });
    await assert.rejects(client.connect(), (error) => /no token: token: /.test(error.message) && !/SECRET/.test(error.message));
    client.bye();
  }
});

test("no token is told: not in a frame, an error or a reason", async () => {
  let asked = 0;
  const token = () => {
    if (asked++) throw new Error("https://me:SECRET@idp.example/t?refresh=SECRET refused SECRET-1");
    return "SECRET-1";
  };
  const { client, socket, events } = start({ token });
  client.addEventListener("frame", ({ detail }) => events.push(["frame", detail]));
  await settled();
  socket().welcome();
  assert.equal(socket().last("hello").token, "SECRET-1");
  socket().drop(4401);
  const failing = client.connect();
  await assert.rejects(failing, (error) => /no token: /.test(error.message) && !error.message.includes("SECRET"));
  assert.doesNotMatch(JSON.stringify(events), /SECRET/);
  assert.match(JSON.stringify(events), /\*\*\*/);
});

// --- without a browser

test("it runs where there is no EventTarget, CustomEvent, crypto, performance, URL or AbortController", async () => {
  const missing = ["EventTarget", "CustomEvent", "Event", "crypto", "performance", "URL", "AbortController", "BroadcastChannel"];
  const kept = missing.map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)]);
  for (const name of missing) delete globalThis[name];
  try {
    const { connect: fresh } = await import("../../../client_sdk/js/presence.js?bare");
    const Socket = FakeSocket.kind();
    const client = fresh({ url: "https://example.org", userId: 7, watch: [2], WebSocket: Socket });
    const changes = [];
    client.addEventListener("change", ({ detail }) => changes.push(...detail.changes));
    Socket.all[0].welcome();
    Socket.all[0].receive({ type: "snapshot", statuses: [entry(2)], cursor: "c" });
    assert.match(client.deviceId, /^[0-9a-f]{32}$/);
    assert.equal(changes.length, 1);
    client.bye();
  } finally {
    for (const [name, descriptor] of kept) Object.defineProperty(globalThis, name, descriptor);
  }
});

test("a socket that tells little is enough: no code, no reason, an error of any kind", () => {
  const { client, socket, time } = start();
  socket().onerror();
  socket().onclose();
  assert.equal(client.state, "waiting");
  time.pass(1000);
  socket().welcome();
  socket().send = () => {
    throw new Error("not open");
  };
  client.setStatus("BUSY");
  assert.equal(client.state, "waiting");
});

test("a message that lacks what the client relies on ends the connection, and nothing else", () => {
  for (const wrong of [
    { type: "snapshot" },
    { type: "snapshot", statuses: [{}] },
    { type: "diff", changes: null },
    { type: "self" },
    { type: "reconnect" },
    { type: "error" },
  ]) {
    const { client, socket } = start({ watch: [2] });
    socket().welcome();
    socket().receive(wrong);
    assert.equal(client.state, "waiting", JSON.stringify(wrong));
    assert.equal(socket().closedWith.code, 3001);
  }
});

// --- a device of its own

test("4409 to a device id that the SDK chose: it takes another, and comes back", () => {
  const { client, socket, time } = start({ deviceId: undefined });
  socket().welcome();
  const before = client.deviceId;
  socket().drop(4409, "replaced");
  assert.equal(client.state, "waiting");
  time.pass(1000);
  socket().welcome();
  assert.notEqual(client.deviceId, before);
  assert.equal(socket().last("hello").deviceId, client.deviceId);
});

test("4409 after the error `replaced`: another device took over, and it drives that one out by no other id", () => {
  const { client, socket, time } = start({ deviceId: undefined });
  socket().welcome();
  const reason = "signed in on another device: IOS, phone-2";
  socket().receive({ type: "error", code: 409, error: "replaced", message: reason });
  socket().drop(4409, reason);
  assert.deepEqual([client.state, client.closeCode, client.closeReason], ["closed", 4409, reason]);
  assert.equal(client.problem, "replaced");
  time.pass(60_000);
  assert.equal(client.state, "closed");
  client.connect();
  socket().welcome();
  assert.equal(client.state, "online", "unless the program says so");
});

test("hello says that it comes back by itself, unless the program has said connect", () => {
  const { client, socket, time } = start();
  socket().welcome();
  assert.equal(socket().last("hello").returning, undefined);
  socket().drop(1006);
  time.pass(60_000);
  socket().welcome();
  assert.equal(socket().last("hello").returning, true);
  client.bye();
  client.connect();
  socket().welcome();
  assert.equal(socket().last("hello").returning, undefined);
});

test("4409 to a device id that the program chose closes the client", () => {
  const { client, socket } = start();
  socket().welcome();
  socket().drop(4409, "replaced");
  assert.deepEqual([client.state, client.closeCode], ["closed", 4409]);
});
