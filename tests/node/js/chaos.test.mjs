/** A client before a server and a page that do anything, for some minutes of a fake clock each; fresh seeds each run. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { applyDiff } from "../../../client_sdk/js/presence.js";
import { entry, settled, start } from "./fakes.mjs";

const SEEDS = 150;
const STEPS = 200;
const CODES = [1000, 1001, 1005, 1006, 1009, 1011, 1012, 1014, 4401, 4403, 4409, 4410, 4503, 4529];

/** mulberry32: numbers from 0 up to 1 that a seed repeats. */
function chanceOf(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Story {
  pending = new Set();
  settledTwice = [];
  version = 1;
  depth = 0;
  asked = 0;

  constructor(seed) {
    this.chance = chanceOf(seed);
    const token = this.chance() < 0.3 ? () => this.token() : undefined;
    let wake = () => {};
    const wakeups = (callback) => ((wake = callback), () => {});
    Object.assign(this, start({ random: this.chance, watch: [2, 3], token, wakeups, deviceId: this.one(["d", undefined]) }));
    this.wake = () => wake();
    for (const type of ["state", "stale", "change", "self", "error", "frame"]) {
      this.client.addEventListener(type, ({ detail }) => this.heard(type, detail));
    }
  }

  one(choices) {
    return choices[Math.floor(this.chance() * choices.length)];
  }

  token() {
    this.asked++;
    const never = () => new Promise(() => {});
    const failed = () => Promise.reject(new Error("no"));
    return this.one([() => "t", () => "t", async () => "t", never, failed, () => null])();
  }

  heard(type, detail) {
    if (type === "stale") assert.equal(typeof detail.stale, "boolean");
    if (this.depth > 2 || this.chance() > 0.1) return;
    this.depth++;
    this.call();
    this.depth--;
  }

  /** The page calls something. */
  call() {
    const { client } = this;
    const ids = [this.one([2, 3, 4, 5]), this.one([2, 3, 4, 5])];
    const made = this.one([
      () => client.watch(ids),
      () => client.unwatch(ids),
      () => client.setStatus(this.one(["BUSY", null])),
      () => client.setStatus("AWAY", { forMs: 60_000, timeout: 500 }),
      () => client.activity(this.chance() < 0.5),
      () => client.query(ids),
      () => client.connect(),
      () => client.reconnectNow(),
      () => this.chance() < 0.3 && client.bye(),
      () => this.wake(),
    ])();
    if (typeof made?.then !== "function") return;
    const each = {};
    this.pending.add(each);
    const over = (error) => {
      if (!this.pending.delete(each)) this.settledTwice.push(each);
      if (error !== undefined) assert.equal(error.name, "PresenceError");
    };
    made.then(() => over(), over);
  }

  /** The network or the server does something on one of the sockets. */
  serve() {
    const alive = this.sockets.filter(({ closedWith, isDropped }) => !closedWith && !isDropped);
    const socket = this.one(alive);
    if (!socket) return;
    if (!socket.opened) {
      this.one([() => socket.open(), () => socket.open(), () => socket.drop(1006)])();
      return;
    }
    const userId = this.one([2, 3, 4, 5]);
    const some = [entry(userId, this.one(["ONLINE", "AWAY", "BUSY", "OFFLINE"]), this.version++)];
    const request = this.one(socket.sent.filter(({ id }) => id !== undefined)) ?? { type: "ping", id: 99 };
    const watched = socket.last("hello").watch ?? [];
    this.one([
      () => (socket.isWelcomed ? socket.receive({ type: "pong" }) : socket.welcome({ resumed: this.chance() < 0.5 })),
      () => socket.receive({ type: "snapshot", statuses: watched.map((id) => entry(id, "ONLINE", this.version++)), cursor: "c" }),
      () => socket.receive({ type: "snapshot", statuses: some, more: true }),
      () => socket.receive({ type: "snapshot", id: request.id, statuses: some, cursor: "c" }),
      () => socket.receive({ type: "diff", changes: some, cursor: "c" }),
      () => socket.receive({ type: request.type === "query" ? "statuses" : "ok", id: request.id, statuses: some }),
      () => socket.receive({ type: "error", id: this.one([request.id, undefined]), code: this.one([400, 503]), error: "unavailable", message: "" }),
      () => socket.receive({ type: "reconnect", afterMs: this.one([0, 1000, -5]), reason: "" }),
      () => socket.receive(this.one(["{", '{"type":"new"}', '{"type":"diff"}'])),
      () => this.chance() < 0.4 && socket.drop(this.one(CODES)),
    ])();
  }

  async run() {
    for (let step = 0; step < STEPS; step++) {
      this.one([() => this.call(), () => this.serve(), () => this.serve(), () => this.time.pass(this.one([0, 100, 3000, 40_000]))])();
      if (step % 5 === 0) await settled();
      this.check();
    }
    const { client, time, sockets } = this;
    client.bye();
    for (let wait = 0; wait < 3; wait++) await settled();
    if (client.state !== "closed") client.bye(); // a listener may have begun anew
    this.depth = 9;
    client.bye();
    await settled();
    time.pass(120_000);
    await settled();
    assert.equal(client.state, "closed");
    assert.equal(this.pending.size, 0, "every call was settled");
    assert.deepEqual(this.settledTwice, []);
    assert.equal(time.pending, 0);
    assert.ok(sockets.every(({ closedWith, isDropped }) => closedWith || isDropped), "no socket is left");
    assert.ok(sockets.length < STEPS, "no hot loop");
  }

  check() {
    const { client, sockets } = this;
    const open = sockets.filter(({ closedWith, isDropped }) => !closedWith && !isDropped);
    assert.ok(open.length <= 4, `${open.length} sockets at once`);
    if (client.state === "closed") assert.equal(client.view.stale, true);
    if (client.state !== "online") assert.equal(client.view.stale, true);
    assert.equal(client.nextTryAt !== null, client.state === "waiting");
    for (const userId of client.view.keys()) assert.ok(client.watched.includes(userId));
    for (const { sent } of sockets) assert.ok(sent.length === 0 || sent[0].type === "hello");
    assert.deepEqual(applyDiff(client.view, []), new Map(client.view));
  }
}

test(`${SEEDS} stories`, async () => {
  const first = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
  const count = process.env.SEED ? 1 : SEEDS;
  for (let seed = first; seed < first + count; seed++) {
    try {
      await new Story(seed).run();
    } catch (error) {
      error.message = `SEED=${seed} node --test tests/node/js/chaos.test.mjs: ${error.message}`;
      throw error;
    }
  }
});
