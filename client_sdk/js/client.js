/**
 * The client as a page uses it: it checks what it is given, hands it to the core by the runner, and turns news into
 * events.
 */

import { Phase } from "./actions.js";
import { addressOf } from "./address.js";
import { Policy } from "./attempts.js";
import { Backoff } from "./backoff.js";
import { ClientView } from "./client_view.js";
import { problemOf } from "./close_codes.js";
import { Core } from "./core.js";
import { DeviceId } from "./device_id.js";
import { ConnectionClosed, NotConnected } from "./errors.js";
import { Emitter } from "./events.js";
import { Identity } from "./identity.js";
import { handled, Runner } from "./runner.js";
import { monotonic, whenItComesBack } from "./surroundings.js";
import { CLIENT } from "./version.js";
import { checkDuration, checkIds, checkLasting, statusMessage, tokenOf } from "./values.js";

/** Milliseconds that a call waits, for a connection and for its reply. */
const TIMEOUT = 10_000;

/** Tries in a row that never got a connection, until whoever waits for `connect()` is told. One may be a restart. */
const TOLD_AFTER = 2;

/** Make a client and connect it at once. */
export function connect(options) {
  const client = new PresenceClient(options);
  client.connect();
  return client;
}

/**
 * One device of one user (or, without `userId`, an observer), and its view of others.
 *
 * Events, each `{type, detail}`: `state` (also `client.state`), `stale` when the view turns stale or fresh, `change`
 * with `detail.changes`, `self` with the user's own truth, `error` for what answers no call of the page's, `frame` for
 * what goes over the wire. Every method may be called at any time, from a listener, too.
 */
export class PresenceClient extends Emitter {
  /** Until when it waits for the next try (milliseconds, as `Date.now()`); null while it does not. */
  nextTryAt = null;

  #core;
  #runner;
  #identity;
  #view;
  #device;
  #env;
  #timeout;
  #openTimeout;
  #openings = new Set(); // who waits for connect()
  #failures = 0; // tries in a row that never got a connection
  #sleep = null; // ends the listening to what wakes it

  /**
   * @param options `url` (`https://example.org`, or `http`, `ws`, `wss`; a path before `/api/v1/presence` is kept),
   *   `userId`, `userIds` (the kind of user ids that the server speaks: "number"; "int64", which are strings of digits
   *   here; "string"), `deviceId` (left out: the SDK keeps one for each tab), `platform` ("WEB"), `token` (a string, or a
   *   function that gives one or a promise of one, asked before each connection, and before the end of the one there
   *   is), `ticket` (true: the token goes into no hello; the server is asked for a one-time ticket with it, which goes
   *   into the URL), `fetch` where there is none or another is wanted, `watch` (user ids), `status` (set
   *   unless the session continues), `backoff` `{base, cap}`, `timeout` of a call and `openTimeout` of `connect()` in
   *   milliseconds, `WebSocket` where there is none or another is wanted, `wakeups`, which is called with a function
   *   to call when the app or the network comes back, and returns one that ends it. For tests: `timers` `{setTimeout,
   *   clearTimeout}`, `random`, `now` (a clock that only goes forward) and `date` (`Date.now`).
   *
   * Throws RangeError or TypeError, naming the option, for what cannot be right.
   */
  constructor(options) {
    super();
    const { timers = globalThis, random = Math.random, now = monotonic(), userId, token = null, ticket = false } = options;
    const hasTokens = typeof token === "function";
    const isOwned = userId !== undefined && (options.deviceId ?? null) === null;
    this.#identity = new Identity({
      ...options,
      token: hasTokens || token === null ? null : tokenOf(token),
      hasTokens,
      hasTickets: Boolean(ticket),
      renewDevice: isOwned ? () => this.#device.renew() : null,
      client: CLIENT,
    });
    this.#env = {
      url: addressOf(options.url),
      WebSocket: options.WebSocket ?? globalThis.WebSocket,
      fetch: options.fetch ?? globalThis.fetch,
      setTimeout: (callback, delay) => timers.setTimeout(callback, delay),
      clearTimeout: (timer) => timers.clearTimeout(timer),
      now,
      date: options.date ?? options.now ?? (() => Date.now()),
      wakeups: options.wakeups ?? whenItComesBack,
    };
    if (ticket && token === null) throw new TypeError("ticket: needs a token to ask for one with");
    if (ticket && typeof this.#env.fetch !== "function") {
      throw new TypeError("there is no fetch here, which a ticket is asked for with: pass fetch");
    }
    if (typeof this.#env.WebSocket !== "function") {
      throw new TypeError("there is no WebSocket here: pass WebSocket, such as that of the package `ws`");
    }
    this.#timeout = options.timeout ?? TIMEOUT;
    this.#openTimeout = options.openTimeout ?? TIMEOUT;
    this.#device = isOwned ? new DeviceId(userId, { ...this.#env, ...storage(), random }) : null;
    this.#core = new Core(this.#identity, now(), random, Policy({ backoff: new Backoff(options.backoff) }));
    this.#view = new ClientView(() => this.#core.view);
    const parts = { identity: this.#identity, device: this.#device, askToken: hasTokens ? token : null };
    this.#runner = new Runner(this.#core, this.#env, parts, this.#hears());
    this.#core.watch(checkIds("watch", options.watch ?? [], this.#identity.userIds));
    this.#core.take();
  }

  // --- what is known

  /** "connecting", "online", "waiting" (until `nextTryAt`) or "closed" (see `closeCode` and `closeReason`). */
  get state() {
    return this.#core.state.phase;
  }

  /** Of a client that was closed: the code, 4401 also if the person is signed out; else null. */
  get closeCode() {
    const { phase, code } = this.#core.state;
    return phase === Phase.CLOSED && code !== 0 ? code : null;
  }

  /** Why there is no connection, for a person: see `problemOf` in close_codes.js; null while online. */
  get problem() {
    return this.state === Phase.ONLINE ? null : problemOf(this.#core.state.code);
  }

  get closeReason() {
    return this.state === Phase.CLOSED ? this.#core.state.reason : "";
  }

  /** The watched users: a read-only Map of userId to entry, with `stale` and `staleSince`. */
  get view() {
    return this.#view;
  }

  /** The users asked for, whether their entries have come yet or not. */
  get watched() {
    return [...this.#core.view.watched];
  }

  /** The user's own truth as last told, override and devices included; null before the first welcome. */
  get self() {
    return this.#core.self;
  }

  /** The last `welcome`: `continued`, `resumed`, `sessionId`, `limits`; null before the first. */
  get welcome() {
    return this.#core.welcome;
  }

  get userId() {
    return this.#identity.userId;
  }

  /** Null for an observer, and until the SDK has found one that no other tab uses. */
  get deviceId() {
    return this.#identity.deviceId;
  }

  // --- its life

  /**
   * Start, unless it runs already. Resolves with the welcome once connected, at once if it is.
   *
   * Rejects with NotConnected after `timeout` milliseconds, or when the server refuses or cannot be reached twice in
   * a row: then the client goes on trying. Rejects with ConnectionClosed if the client closes, and with the signal's
   * reason if `signal` is aborted: then the client is closed, unless it is online by then.
   */
  connect({ signal, timeout = this.#openTimeout } = {}) {
    if (this.state === Phase.ONLINE) return Promise.resolve(this.welcome);
    const enlist = (waiting) => {
      this.#openings.add(waiting);
      if (this.state === Phase.CLOSED) this.#start();
    };
    return this.#runner.wait(enlist, {
      signal,
      timeout,
      late: () => new NotConnected(timeout, this.#core.state.reason),
      aborted: () => this.#runner.tell((core, now) => core.leave(now, "aborted")),
      over: (waiting) => this.#openings.delete(waiting),
    });
  }

  /** Do not wait for the next try: make it now. While online it asks whether the link still lives. */
  reconnectNow() {
    if (this.state === Phase.CLOSED) this.connect();
    else this.#runner.tell((core, now) => core.wake(now));
  }

  /**
   * Leave deliberately: others see the device go at once. `connect()` starts anew. Calls that were sent before are still
   * answered, for 5 s at most.
   */
  bye() {
    this.#runner.tell((core, now) => core.leave(now, "bye"));
  }

  // --- requests: each takes `{timeout, signal}`, milliseconds and an AbortSignal

  /** Watch more users. Resolves when the entries of all of them are in the view. The list outlasts connections. */
  watch(userIds, options) {
    const ids = checkIds("userIds", userIds, this.#identity.userIds);
    return handled(this.#call((core) => core.watch(ids), options).then(() => {}));
  }

  /** Watch no longer; what was held of them goes at once. */
  unwatch(userIds, options) {
    const ids = checkIds("userIds", userIds, this.#identity.userIds);
    return handled(this.#call((core) => core.unwatch(ids), options).then(() => {}));
  }

  /**
   * Say what the user is. What is undefined stays as it is, null clears it. `status`: "BUSY", "AWAY", "ONLINE" or "OFFLINE"
   * (invisible). `until` is a Date (rounded up to whole seconds) or a time such as "2025-11-09T15:00:00Z"; `forMs` in
   * its place is a duration in milliseconds from now, which counts by the server's clock. `statusText` and `statusEmoji`
   * are shown whatever the status is, until `textUntil` or for `textForMs`. Throws RangeError for what no server takes.
   *
   * Waits for a connection, for `timeout` at most; then it fails and is never sent. Never repeated by itself.
   */
  setStatus(status, { until, forMs, statusText, statusEmoji, textUntil, textForMs, ...options } = {}) {
    const message = statusMessage({ status, until, statusText, statusEmoji, textUntil });
    const lasts = { until: checkLasting("forMs", forMs), textUntil: checkLasting("textForMs", textForMs) };
    const isSaid = Object.keys(message).length > 1 || lasts.until !== null || lasts.textUntil !== null;
    if (!isSaid) throw new RangeError("status: one of status, until, statusText, statusEmoji and textUntil is needed");
    const from = (now, duration) => (duration === null ? null : now + duration);
    const begin = (core, now) => core.request(message, from(now, lasts.until), from(now, lasts.textUntil));
    return handled(this.#call(begin, options).then(() => {}));
  }

  /**
   * Say whether the person is idle, and `busy`: in a call, or presenting (undefined leaves that as it was). Both are
   * levels: said while not online, they go with the next hello.
   */
  activity(idle, { idleForMs = 0, busy, ...options } = {}) {
    const idleFor = checkDuration("idleForMs", idleForMs);
    const isBusy = busy === undefined || busy === null ? null : Boolean(busy);
    const begin = (core, now) => core.activity(Boolean(idle), idleFor, now, isBusy);
    return handled(this.#call(begin, options).then(() => {}));
  }

  /** Ask once, without watching: entries in the order and with the repeats of `userIds`. */
  query(userIds, options) {
    const message = { type: "query", userIds: checkIds("userIds", userIds, this.#identity.userIds) };
    return handled(this.#call((core) => core.request(message), options).then(({ statuses }) => statuses));
  }

  #call(begin, { timeout = this.#timeout, signal } = {}) {
    return this.#runner.call(begin, { timeout, signal });
  }

  // --- telling

  #start() {
    this.#failures = 0;
    this.#sleep ??= this.#env.wakeups(() => this.#runner.tell((core, now) => core.wake(now)));
    this.#runner.tell((core, now) => {
      core.start(now);
      core.restart(now);
    });
  }

  #hears() {
    return {
      happened: () => this.#view.look(this.#env.date()),
      begins: () => this.#tellStale(true),
      told: (action) => this.#told(action),
      settled: () => this.#tellStale(false),
      failed: (end, isSure) => this.#failed(end, isSure),
      frame: (direction, text) => this.emit("frame", { direction, text, time: this.#env.date() }),
    };
  }

  #told(action) {
    if (action.type === "Became") this.#become(action.state);
    else if (action.type === "Changed") this.emit("change", { changes: action.changes });
    else if (action.type === "SelfTold") this.emit("self", action.self);
    else if (action.type === "Complained") this.emit("error", action.error);
  }

  /** That it turned stale is told before what comes with it; that it turned fresh, after. */
  #tellStale(isStale) {
    const told = this.#view.takeNews(isStale);
    if (told) this.emit("stale", told);
  }

  #become({ phase, retryIn, code, reason }) {
    this.nextTryAt = phase === Phase.WAITING ? this.#env.date() + retryIn : null;
    const detail = { state: phase, nextTryAt: this.nextTryAt };
    if (phase === Phase.ONLINE) {
      const { continued, resumed } = this.welcome;
      Object.assign(detail, { continued, resumed });
      this.#failures = 0;
      for (const { resolve } of [...this.#openings]) resolve(this.welcome);
    } else if (phase !== Phase.CONNECTING || reason) {
      Object.assign(detail, { code, reason });
      if (problemOf(code) !== null) detail.problem = problemOf(code);
    }
    if (phase === Phase.CLOSED && this.state === Phase.CLOSED) {
      // Else a listener has started it again already.
      this.#sleep?.();
      this.#sleep = null;
      this.#device?.release();
      const error = new ConnectionClosed(code, reason, "stop");
      for (const { reject } of [...this.#openings]) reject(error);
    }
    this.emit("state", detail);
  }

  /** Tell whoever waits for `connect()` why there is no connection; the client goes on trying. */
  #failed({ reason, status }, isSure) {
    if (this.state === Phase.ONLINE) return; // it was a try to move
    this.#failures++;
    if (!isSure && this.#failures < TOLD_AFTER) return;
    for (const { reject } of [...this.#openings]) reject(new NotConnected(null, reason, status));
  }
}

/** What of a browser the device id can be kept and held with; any of it may be missing or forbidden. */
function storage() {
  const { BroadcastChannel, navigator } = globalThis;
  let sessionStorage;
  try {
    sessionStorage = globalThis.sessionStorage;
  } catch {
    // Forbidden, as in a sandboxed frame.
  }
  return { sessionStorage, BroadcastChannel, locks: navigator?.locks };
}
