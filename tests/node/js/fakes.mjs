/** A socket, a clock and a server's side of the talk, all driven by the test. */

import { PresenceClient } from "../../../client_sdk/js/presence.js";

export const LIMITS = { pingInterval: 25_000, pongTimeout: 10_000, maxWatched: 5000, maxMessage: 262_144, maxBatch: 1000 };

/** Timers that fire only when the test lets time pass, in the order in which they are due. */
export class FakeTime {
  now = 1_000_000;
  #timers = new Map();
  #nextId = 1;

  setTimeout(callback, delay) {
    const id = this.#nextId++;
    this.#timers.set(id, { callback, due: this.now + delay });
    return id;
  }

  clearTimeout(id) {
    this.#timers.delete(id);
  }

  get pending() {
    return this.#timers.size;
  }

  pass(milliseconds) {
    const end = this.now + milliseconds;
    for (;;) {
      const due = [...this.#timers].filter(([, timer]) => timer.due <= end).sort(([, a], [, b]) => a.due - b.due);
      if (due.length === 0) break;
      const [id, timer] = due[0];
      this.#timers.delete(id);
      this.now = Math.max(this.now, timer.due);
      timer.callback();
    }
    this.now = end;
  }
}

/** What a browser's WebSocket is to a script, with the network's end in the test's hands. */
export class FakeSocket {
  /** A fresh class whose `all` lists the sockets made with it. */
  static kind() {
    return class extends FakeSocket {
      static all = [];

      constructor(url, protocols) {
        super(url, protocols);
        this.constructor.all.push(this);
      }
    };
  }

  sent = [];
  closedWith = null;
  opened = false;
  isWelcomed = false;
  isDropped = false;
  onopen = null;
  onmessage = null;
  onclose = null;

  constructor(url, protocols) {
    this.url = url;
    this.protocols = protocols;
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close(code, reason) {
    if (code !== undefined && code !== 1000 && !(code >= 3000 && code <= 4999)) {
      throw new DOMException("a browser closes with 1000 or 3000-4999", "InvalidAccessError");
    }
    this.closedWith ??= { code, reason };
  }

  // --- the network's side

  open() {
    if (!this.opened) this.onopen?.({});
    this.opened = true;
  }

  receive(message) {
    this.onmessage?.({ data: typeof message === "string" ? message : JSON.stringify(message) });
  }

  drop(code = 1006, reason = "") {
    this.isDropped = true;
    this.onclose?.({ code, reason, wasClean: code !== 1006 });
  }

  /** Open unless it is, and answer hello. */
  welcome(fields = {}) {
    this.open();
    this.isWelcomed = true;
    this.receive({
      type: "welcome",
      sessionId: "s1",
      serverTime: "2025-11-09T15:00:00Z",
      continued: false,
      resumed: false,
      self: { userId: 10001, status: "ONLINE", override: null, devices: [] },
      limits: LIMITS,
      ...fields,
    });
  }

  last(type) {
    return this.sent.findLast((message) => message.type === type);
  }

  all(type) {
    return this.sent.filter((message) => message.type === type);
  }
}

export function entry(userId, status = "ONLINE", version = 1, more = {}) {
  const platforms = status === "OFFLINE" ? [] : ["WEB"];
  return { userId, status, platforms, lastActiveTime: "2025-11-09T15:00:00Z", version, ...more };
}

/** A client on fakes: `{client, sockets, socket(), time, events}`; `events` lists `[type, detail]`, frames left out. */
export function start(options = {}) {
  const time = new FakeTime();
  const WebSocket = FakeSocket.kind();
  const client = new PresenceClient({
    url: "ws://localhost/api/v1/presence/ws",
    userId: 10001,
    deviceId: "tab-1",
    WebSocket,
    timers: time,
    now: () => time.now,
    random: () => 0.5,
    ...options,
  });
  const events = [];
  for (const type of ["state", "stale", "change", "self", "error"]) {
    client.addEventListener(type, (event) => events.push([type, event.detail]));
  }
  client.connect();
  return { client, time, events, sockets: WebSocket.all, socket: () => WebSocket.all.at(-1) };
}

/** Let promise reactions run. */
export function settled() {
  return new Promise((resolve) => setImmediate(resolve));
}
