/**
 * The client in a browser: it runs the core, and turns its tickets into promises and its news into events.
 *
 * It owns one timer, which stands for the core's deadline, and one for each call's time limit.
 */

import { Phase } from "./actions.js";
import { addressOf } from "./address.js";
import { End, Policy } from "./attempts.js";
import { Backoff } from "./backoff.js";
import { ClientView } from "./client_view.js";
import { CloseCode } from "./close_codes.js";
import { Core } from "./core.js";
import { DeviceId } from "./device_id.js";
import { NotConnected } from "./errors.js";
import { Emitter } from "./events.js";
import { Identity } from "./identity.js";
import { monotonic, whenItComesBack } from "./surroundings.js";
import { checkDuration, checkIds, checkStatusText, oneOf, STATUSES, timeOf, tokenOf } from "./values.js";
import { WebSocketLink } from "./websocket_link.js";

/** Milliseconds that a call waits, for a connection and for its reply. */
const TIMEOUT = 10_000;

/** Tries in a row that never got a connection, until whoever waits for `connect()` is told. One may be a restart. */
const TOLD_AFTER = 2;

/** The longest that `setTimeout` can wait. */
const MAX_DELAY = 2 ** 31 - 1;

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
  #identity;
  #view;
  #env;
  #token;
  #device = null;
  #timeout;
  #openTimeout;
  #links = new Map(); // by number; null while its socket has to wait for the device id
  #tickets = new Map(); // by ticket: {resolve, reject}
  #openings = new Set(); // who waits for connect()
  #failures = 0; // tries in a row that never got a connection
  #isPerforming = false;
  #timer = null;
  #timerAt = null;
  #sleep = null; // ends the listening to what wakes it

  /**
   * @param options `url` (`https://example.org`, or `http`, `ws`, `wss`; a path before `/api/v1/presence` is kept),
   *   `userId`, `deviceId` (left out: the SDK keeps one for each tab), `platform` ("WEB"), `token` (a string, or a
   *   function that gives one or a promise of one, asked before each connection), `watch` (user ids), `status` (set
   *   unless the session continues), `backoff` `{base, cap}`, `timeout` of a call and `openTimeout` of `connect()` in
   *   milliseconds, `WebSocket` where there is none or another is wanted, `wakeups`, which is called with a function
   *   to call when the app or the network comes back, and returns one that ends it. For tests: `timers` `{setTimeout,
   *   clearTimeout}`, `random`, `now` (a clock that only goes forward) and `date` (`Date.now`).
   *
   * Throws RangeError or TypeError, naming the option, for what cannot be right.
   */
  constructor(options) {
    super();
    const { timers = globalThis, random = Math.random, userId, token = null } = options;
    this.#env = {
      url: addressOf(options.url),
      WebSocket: options.WebSocket ?? globalThis.WebSocket,
      setTimeout: (callback, delay) => timers.setTimeout(callback, Math.min(delay, MAX_DELAY)),
      clearTimeout: (timer) => timers.clearTimeout(timer),
      now: options.now ?? monotonic(),
      date: options.date ?? options.now ?? (() => Date.now()),
      wakeups: options.wakeups ?? whenItComesBack,
      random,
    };
    const isOwned = userId !== undefined && (options.deviceId ?? null) === null;
    if (isOwned) this.#device = new DeviceId(userId, { ...this.#env, ...storage(), random });
    const hasTokens = typeof token === "function";
    this.#token = hasTokens ? token : null;
    this.#identity = new Identity({
      ...options,
      token: hasTokens || token === null ? null : tokenOf(token),
      hasTokens,
      renewDevice: isOwned ? () => this.#device.renew() : null,
    });
    if (typeof this.#env.WebSocket !== "function") {
      throw new TypeError("there is no WebSocket here: pass WebSocket, such as that of the package `ws`");
    }
    this.#timeout = options.timeout ?? TIMEOUT;
    this.#openTimeout = options.openTimeout ?? TIMEOUT;
    this.#core = new Core(this.#identity, this.#env.now(), random, Policy({ backoff: new Backoff(options.backoff) }));
    this.#view = new ClientView(() => this.#core.view);
    this.#core.watch(checkIds("watch", options.watch ?? []));
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
   * Start, unless it runs already. Resolves with the welcome once connected.
   *
   * Rejects with NotConnected after `timeout` milliseconds, or when the server refuses or cannot be reached twice in
   * a row: then the client goes on trying. Rejects with ConnectionClosed if the client closes, and with the signal's
   * reason if `signal` is aborted: then the client is closed, unless it is online by then.
   */
  connect({ signal, timeout = this.#openTimeout } = {}) {
    if (signal?.aborted) return handled(Promise.reject(reasonOf(signal)));
    if (this.state === Phase.CLOSED) this.#start();
    if (this.state === Phase.ONLINE) return Promise.resolve(this.welcome);
    const late = () => new NotConnected(timeout, this.#core.state.reason);
    const aborted = () => this.#do((core, now) => core.leave(now, "aborted"));
    return this.#wait((waiting) => this.#openings.add(waiting), { signal, timeout, late, aborted });
  }

  /** Do not wait for the next try: make it now. While online it asks whether the link still lives. */
  reconnectNow() {
    if (this.state === Phase.CLOSED) this.connect();
    else this.#do((core, now) => core.wake(now));
  }

  /** Leave deliberately: others see the device go at once. `connect()` starts anew. */
  bye() {
    this.#do((core, now) => core.leave(now, "bye"));
  }

  // --- requests: each takes `{timeout, signal}`, milliseconds and an AbortSignal

  /** Watch more users. Resolves when the entries of all of them are in the view. The list outlasts connections. */
  watch(userIds, options) {
    const ids = checkIds("userIds", userIds);
    return handled(this.#call((core) => core.watch(ids), options).then(() => {}));
  }

  /** Watch no longer; what was held of them goes at once. */
  unwatch(userIds, options) {
    const ids = checkIds("userIds", userIds);
    return handled(this.#call((core) => core.unwatch(ids), options).then(() => {}));
  }

  /**
   * Set the user's status to "BUSY", "AWAY", "ONLINE" or "OFFLINE" (invisible); null clears it. `until` is a Date
   * (rounded up to whole seconds) or a time such as "2025-11-09T15:00:00Z"; `forMs` in its place is a duration in
   * milliseconds from now, which counts by the server's clock. Throws RangeError for what no server takes.
   *
   * Waits for a connection, for `timeout` at most; then it fails and is never sent. Never repeated by itself.
   */
  setStatus(status, { until, forMs, statusText, ...options } = {}) {
    const message = { type: "status", status };
    const isGiven = (value) => value !== undefined && value !== null;
    if (status !== null) oneOf("status", status, STATUSES);
    if (isGiven(until)) message.until = timeOf("until", until);
    if (isGiven(statusText)) message.statusText = checkStatusText(statusText);
    const lasts = isGiven(forMs) ? checkDuration("forMs", forMs) : null;
    const begin = (core, now) => core.request(message, lasts === null ? null : now + lasts);
    return handled(this.#call(begin, options).then(() => {}));
  }

  /** Say whether the person is idle. It is a level: said while not online, it goes with the next hello. */
  activity(idle, { idleForMs = 0, ...options } = {}) {
    const idleFor = checkDuration("idleForMs", idleForMs);
    return handled(this.#call((core, now) => core.activity(Boolean(idle), idleFor, now), options).then(() => {}));
  }

  /** Ask once, without watching: entries in the order and with the repeats of `userIds`. */
  query(userIds, options) {
    const message = { type: "query", userIds: checkIds("userIds", userIds) };
    return handled(this.#call((core) => core.request(message), options).then(({ statuses }) => statuses));
  }

  #call(begin, { timeout = this.#timeout, signal } = {}) {
    if (signal?.aborted) return handled(Promise.reject(reasonOf(signal)));
    let ticket;
    const late = () => this.#core.giveUp(ticket, timeout);
    const enlist = (waiting) => {
      this.#do((core, now) => {
        ticket = begin(core, now);
        this.#tickets.set(ticket, waiting);
      });
    };
    return this.#wait(enlist, { signal, timeout, late, aborted: late });
  }

  /** A promise for `{resolve, reject}`, handed to `enlist`; it fails when `timeout` is over or `signal` is aborted. */
  #wait(enlist, { signal, timeout, late, aborted }) {
    return handled(
      new Promise((resolve, reject) => {
        let isOver = false;
        const end = (settle, value) => {
          if (isOver) return;
          isOver = true;
          this.#env.clearTimeout(timer);
          signal?.removeEventListener("abort", onAbort);
          this.#openings.delete(waiting);
          settle(value);
        };
        const waiting = { resolve: (value) => end(resolve, value), reject: (error) => end(reject, error) };
        const onAbort = () => {
          end(reject, reasonOf(signal));
          aborted();
        };
        const timer = this.#env.setTimeout(() => waiting.reject(late()), timeout);
        signal?.addEventListener("abort", onAbort);
        enlist(waiting);
      }),
    );
  }

  // --- running the core

  #start() {
    this.#failures = 0;
    this.#sleep ??= this.#env.wakeups(() => this.#do((core, now) => core.wake(now)));
    this.#do((core, now) => {
      core.start(now);
      core.restart(now);
    });
  }

  /** Tell the core something, then do and tell what follows. What a listener calls comes after what is under way. */
  #do(event) {
    const since = this.#core.view.staleSince;
    event(this.#core, this.#env.now());
    if (since === null && this.#core.view.staleSince !== null) this.#view.turnStale(this.#env.date());
    if (this.#isPerforming) return;
    this.#isPerforming = true;
    try {
      let actions = this.#core.take();
      do {
        this.#tellStale();
        for (const action of actions) this.#perform(action);
        this.#tellFresh();
        actions = this.#core.take();
      } while (actions.length);
    } finally {
      this.#isPerforming = false;
    }
    this.#arm();
  }

  #perform(action) {
    const { type, link } = action;
    if (type === "AskToken") this.#askToken(link);
    else if (type === "Open") this.#open(link);
    else if (type === "Send") this.#links.get(link)?.send(action.message);
    else if (type === "Close") this.#close(link, action.code, action.reason);
    else if (type === "Settled") this.#settle(action);
    else if (type === "Changed") this.emit("change", { changes: action.changes });
    else if (type === "Became") this.#became(action.state);
    else if (type === "SelfTold") this.emit("self", action.self);
    else if (type === "Complained") this.emit("error", action.error);
  }

  /** One timer; one that fires too early arms itself anew, which is cheaper than to move it with each frame. */
  #arm() {
    const deadline = this.#core.deadline();
    if (this.#timerAt !== null && (deadline === null || deadline < this.#timerAt)) {
      this.#env.clearTimeout(this.#timer);
      this.#timerAt = null;
    }
    if (this.#timerAt !== null || deadline === null) return;
    this.#timerAt = deadline;
    this.#timer = this.#env.setTimeout(
      () => {
        this.#timerAt = null;
        this.#do((core, now) => core.tick(now));
      },
      Math.max(0, deadline - this.#env.now()),
    );
  }

  async #askToken(link) {
    let token;
    try {
      token = tokenOf(await this.#token());
    } catch (error) {
      if (error?.name === "SignedOut") this.#do((core, now) => core.signedOut(link, "signed out", now));
      else this.#tokenFailed(link, error);
      return;
    }
    this.#do((core, now) => core.token(link, token, now));
  }

  #tokenFailed(link, error) {
    const reason = withoutSecrets(String(error?.message || error?.name || "it failed"), this.#identity.token);
    this.#do((core, now) => core.tokenFailed(link, reason, now));
    this.#tellFailure({ reason: `no token: ${reason}` });
  }

  /** Make a link, once there is a device id; at once if it is known. */
  #open(link) {
    this.#links.set(link, null);
    const claimed = this.#device?.claim();
    if (typeof claimed?.then === "function") claimed.then((deviceId) => this.#openAs(deviceId, link));
    else this.#openAs(claimed, link);
  }

  #openAs(deviceId, link) {
    if (!this.#links.has(link)) return; // it was given up meanwhile
    if (deviceId) this.#identity.deviceId = deviceId;
    let wasOpened = false;
    const events = {
      opened: () => {
        wasOpened = true;
        this.#do((core, now) => core.opened(link, now));
      },
      received: (message) => this.#do((core, now) => core.received(link, message, now)),
      ended: (end) => this.#ended(link, end, wasOpened),
      frame: (direction, text) => this.emit("frame", { direction, text, time: this.#env.date() }),
    };
    try {
      this.#links.set(link, new WebSocketLink(this.#env.WebSocket, this.#env.url, events));
    } catch (error) {
      const reason = `a WebSocket cannot be made (${error?.name}: ${error?.message})`;
      this.#ended(link, End(CloseCode.ABNORMAL, reason, { isFinal: true }), false);
    }
  }

  #ended(link, end, wasOpened) {
    this.#links.delete(link);
    this.#failures = wasOpened ? 0 : this.#failures + 1;
    this.#do((core, now) => core.lost(link, end, now));
    if (end.status !== null || this.#failures >= TOLD_AFTER) this.#tellFailure(end);
  }

  #close(link, code, reason) {
    this.#links.get(link)?.close(code, reason);
    this.#links.delete(link);
  }

  // --- telling

  #settle({ ticket, reply, error }) {
    const waiting = this.#tickets.get(ticket);
    this.#tickets.delete(ticket);
    if (error === null) waiting?.resolve(reply);
    else waiting?.reject(error);
  }

  /** Tell whoever waits for `connect()` why there is no connection; the client goes on trying. */
  #tellFailure({ reason, status }) {
    if (this.state === Phase.ONLINE) return;
    for (const { reject } of [...this.#openings]) reject(new NotConnected(null, reason, status));
  }

  #became({ phase, retryIn, code, reason }) {
    this.nextTryAt = phase === Phase.WAITING ? this.#env.date() + retryIn : null;
    const detail = { state: phase, nextTryAt: this.nextTryAt };
    if (phase === Phase.ONLINE) {
      const { continued, resumed } = this.welcome;
      this.#failures = 0;
      for (const { resolve } of [...this.#openings]) resolve(this.welcome);
      Object.assign(detail, { continued, resumed });
    }
    if (phase === Phase.CLOSED) {
      this.#sleep?.();
      this.#sleep = null;
      this.#device?.release();
      for (const { reject } of [...this.#openings]) reject(this.#core.closed());
    }
    if (phase === Phase.WAITING || phase === Phase.CLOSED) Object.assign(detail, { code, reason });
    this.emit("state", detail);
  }

  #tellStale() {
    const told = this.#view.takeStale();
    if (told) this.emit("stale", told);
  }

  #tellFresh() {
    if (this.#core.view.staleSince !== null || !this.#view.turnFresh()) return;
    this.emit("stale", { stale: false, since: null });
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

/** A promise nobody has to catch: a failure reaches who asks for it, but ignoring it is no error of the page's. */
function handled(promise) {
  promise.catch(() => {});
  return promise;
}

function reasonOf(signal) {
  if (signal.reason !== undefined) return signal.reason;
  return Object.assign(new Error("aborted"), { name: "AbortError" });
}

/** A text of somebody else's, without the token and the user and query of URLs, which may stand in it. */
function withoutSecrets(text, token) {
  const hidden = token ? text.split(token).join("***") : text;
  return hidden.replace(/\/\/[^/\s@]*@/g, "//").replace(/\?\S*/g, "").slice(0, 200);
}
