/**
 * The browser SDK: plain ES modules without dependencies or a build step.
 *
 *     const client = connect({ url: "wss://example.org/api/v1/presence/ws", userId: 10001 });
 *     client.addEventListener("change", () => render(client.view));
 *     client.watch([10002, 10003]);
 *
 * The client decides what others carry out: a connection is a `Link`, what outlasts connections is in the
 * `Watchlist`, whether and when to come back is said by `retry.js`. Requests are never replayed: a status set last
 * night must not come back this morning.
 */

import { Link, PresenceError } from "./link.js";
import { deferred, handled } from "./promises.js";
import { ABNORMAL, advice, backoff, NORMAL } from "./retry.js";
import { checkText } from "./text.js";
import { checkIds, idleness, MAX_DEVICE_ID, MAX_STATUS_TEXT, randomId, timeOf } from "./values.js";
import { Hearing, Watchlist } from "./watchlist.js";

export { PresenceError } from "./link.js";
export { advice, backoff } from "./retry.js";
export { applyDiff, applySnapshot } from "./view.js";

/** A link that lived for less (milliseconds) does not start the backoff anew: its server may be refusing us. */
const SETTLED = 5_000;

/** Make a client and connect it at once. */
export function connect(options) {
  const client = new PresenceClient(options);
  client.connect();
  return client;
}

/**
 * One device of one user (or, without `userId`, an observer), and its view of others.
 *
 * Events, each a CustomEvent: `state` (also `client.state`), `stale` when the view turns stale or fresh, `change`
 * with `detail.changes`, `self` with the user's own truth, `error` for what answers no call of the page's, `frame`
 * for what goes over the wire.
 */
export class PresenceClient extends EventTarget {
  /** "connecting", "online", "waiting" (until `nextTryAt`) or "closed" (see `closeCode` and `closeReason`). */
  state = "closed";
  nextTryAt = null;
  closeCode = null;
  closeReason = "";
  /** The user's own truth as last told, override and devices included; null before the first welcome. */
  self = null;
  /** The last `welcome`: `continued`, `resumed`, `sessionId`, `limits`; null before the first. */
  welcome = null;

  #options;
  #env;
  #watchlist;
  #idle = null; // {idle, since} once it was said
  #link = null;
  #successor = null; // the link that will replace #link, in a drain
  #run = 0; // a token that was asked for in an earlier run is for a link no longer wanted
  #timer;
  #handover;
  #attempt = 0; // tries since a connection lasted
  #moves = 0; // tries to move since the server asked for it
  #renewed = false;
  #onlineAt = 0;
  #opening = null;

  /**
   * @param options `url`, `userId`, `deviceId`, `platform` ("WEB"), `token` (a string, or a function that gives one
   *   or a promise of one, asked before each connection), `watch` (user ids), `status` (set unless the session
   *   continues), `backoff` `{base, cap}` in milliseconds. For tests: `WebSocket`, `timers` `{setTimeout,
   *   clearTimeout}`, `random`, `now`.
   */
  constructor(options) {
    super();
    const { timers = globalThis } = options;
    this.#options = { platform: "WEB", random: Math.random, ...options };
    if (options.userId !== undefined) {
      checkIds("userId", [options.userId]);
      this.#options.deviceId ??= randomId();
      checkText("deviceId", this.#options.deviceId, 1, MAX_DEVICE_ID);
    }
    this.#env = {
      url: options.url,
      WebSocket: options.WebSocket ?? globalThis.WebSocket,
      setTimeout: (callback, delay) => timers.setTimeout(callback, delay),
      clearTimeout: (timer) => timers.clearTimeout(timer),
      now: options.now ?? Date.now,
    };
    this.#watchlist = new Watchlist(checkIds("watch", options.watch ?? []));
  }

  /** The watched users: a read-only Map of userId to entry, with `stale` and `staleSince`. */
  get view() {
    return this.#watchlist.view;
  }

  /** The users asked for, whether their entries have come yet or not. */
  get watched() {
    return this.#watchlist.userIds;
  }

  get userId() {
    return this.#options.userId ?? null;
  }

  get deviceId() {
    return this.#options.deviceId ?? null;
  }

  /** Start, unless it runs already. The promise holds when online, and fails when the client closes first. */
  connect() {
    if (this.state === "online") return Promise.resolve(this.welcome);
    if (this.state === "closed") this.#start();
    this.#opening ??= deferred();
    return this.#opening.promise;
  }

  /** Do not wait for the next try: make it now. Does nothing while connecting or online. */
  reconnectNow() {
    if (this.state === "closed") this.connect();
    else if (this.state === "waiting") this.#start();
  }

  /** Leave deliberately: others see the device go at once. `connect()` starts anew. */
  bye() {
    if (this.state === "closed") return;
    const link = this.#link;
    if (link?.welcome) link.send({ type: "bye" });
    this.#close(NORMAL, "bye");
    link?.close(NORMAL, "bye");
  }

  /** Watch more users. The promise holds when the entries of all of them are in the view. */
  watch(userIds) {
    const checked = checkIds("userIds", userIds);
    const added = this.#watchlist.add(checked);
    if (this.state === "online" && added.length) this.#ask(this.#link, added);
    return handled(this.#watchlist.wait(checked));
  }

  /** Watch no longer; what was held of them goes at once. */
  unwatch(userIds) {
    const removed = this.#watchlist.remove(checkIds("userIds", userIds));
    for (const link of [this.#link, this.#successor]) link?.hearing?.forget(removed);
    return removed.length ? this.#carry({ type: "unwatch", userIds: removed }) : Promise.resolve();
  }

  /**
   * Set the user's status to "BUSY", "AWAY", "ONLINE" or "OFFLINE" (invisible); null clears it. `until` is a Date
   * (rounded up to whole seconds) or a time such as "2025-11-09T15:00:00Z". Throws RangeError for what no server
   * takes. Fails when not online: a status is never kept for later.
   */
  setStatus(status, { until, statusText } = {}) {
    const message = { type: "status", status };
    if (until !== undefined && until !== null) message.until = timeOf("until", until);
    if (statusText !== undefined && statusText !== null) message.statusText = checkText("statusText", statusText, 0, MAX_STATUS_TEXT);
    return handled(this.#request(message).then(() => {}));
  }

  /** Say whether the person is idle. It is a level: said while not online, it goes with the next hello. */
  activity(idle, { idleForMs = 0 } = {}) {
    this.#idle = { idle, since: this.#env.now() - idleForMs };
    return this.#carry({ type: "activity", ...idleness(this.#idle, this.#env.now()) });
  }

  /** Ask once, without watching: entries in the order and with the repeats of `userIds`. */
  query(userIds) {
    const reply = this.#request({ type: "query", userIds: checkIds("userIds", userIds) });
    return handled(reply.then(({ statuses }) => statuses));
  }

  // --- connecting -------------------------------------------------------------------------------------------

  #start() {
    this.#env.clearTimeout(this.#timer);
    this.nextTryAt = null;
    this.closeCode = null;
    this.closeReason = "";
    this.#open(
      (link) => (this.#link = link),
      (error) => this.#lost(ABNORMAL, `no token: ${error.message}`),
    );
    this.#become("connecting");
  }

  /** Make a link once there is a token; at once if there is no callback to wait for. */
  #open(opened, failed) {
    const run = ++this.#run;
    const make = (token) => {
      if (run === this.#run) opened(new Link(this.#env, this.#owner(token)));
    };
    const { token } = this.#options;
    if (typeof token !== "function") {
      make(token);
      return;
    }
    Promise.resolve()
      .then(token)
      .then(make)
      .catch((error) => run === this.#run && failed(error));
  }

  #owner(token) {
    return {
      hello: (link) => this.#hello(link, token),
      message: (link, message) => this.#heard(link, message),
      ended: (link, code, reason) => this.#ended(link, code, reason),
      frame: (direction, text) => this.#tell("frame", { direction, text, time: this.#env.now() }),
    };
  }

  #hello(link, token) {
    const { userId, deviceId, platform, status } = this.#options;
    const hello = { type: "hello" };
    if (userId === undefined) hello.observer = true;
    else Object.assign(hello, { userId, deviceId, platform });
    if (token !== undefined) hello.token = token;
    if (this.#idle) Object.assign(hello, idleness(this.#idle, this.#env.now()));
    if (status !== undefined && !this.welcome) hello.status = status;
    link.hearing = new Hearing(this.#watchlist);
    return Object.assign(hello, link.hearing.hello);
  }

  #ended(link, code, reason) {
    if (link === this.#successor) {
      this.#successor = null;
      if (advice(code) === "reconnect") this.#moveLater(); // and keep the one there is
    } else if (link === this.#link) {
      this.#link = null;
      this.#env.clearTimeout(this.#handover);
      this.#turnStale();
      if (this.#successor) {
        // The server may have closed it with 4409, because of the very link that is to replace it.
        this.#link = this.#successor;
        this.#successor = null;
        this.#become("connecting");
      } else {
        this.#lost(code, reason);
      }
    }
  }

  #lost(code, reason) {
    this.#run++;
    if (this.state === "online" && this.#env.now() - this.#onlineAt >= SETTLED) this.#attempt = 0;
    const next = advice(code);
    if (next === "renew" && typeof this.#options.token === "function" && !this.#renewed) {
      this.#renewed = true;
      this.#start();
    } else if (next === "reconnect") {
      const delay = this.#backoff(this.#attempt++);
      this.nextTryAt = this.#env.now() + delay;
      this.#timer = this.#env.setTimeout(() => this.#start(), delay);
      this.#become("waiting", { code, reason });
    } else {
      this.#close(code, reason);
    }
  }

  #backoff(attempt) {
    return backoff(attempt, this.#options.random, this.#options.backoff);
  }

  /** End for good: nothing of this client's runs any more. The present link is the caller's to close. */
  #close(code, reason) {
    this.#run++;
    this.#env.clearTimeout(this.#timer);
    this.#env.clearTimeout(this.#handover);
    this.#successor?.close(NORMAL, reason);
    this.#link = this.#successor = null;
    this.#attempt = 0;
    this.#renewed = false;
    this.nextTryAt = null;
    this.closeCode = code;
    this.closeReason = reason;
    this.#turnStale();
    const error = new PresenceError("closed", `the client is closed: ${code} ${reason}`.trim());
    this.#watchlist.giveUp(error);
    this.#opening?.reject(error);
    this.#opening = null;
    this.#become("closed", { code, reason });
  }

  /** The server is about to end: connect anew first, and only then let go of this connection. */
  #move({ afterMs }) {
    this.#moves = 0;
    this.#moveIn(afterMs);
  }

  #moveIn(delay) {
    this.#env.clearTimeout(this.#handover);
    this.#handover = this.#env.setTimeout(() => {
      if (this.#successor) return;
      this.#open(
        (link) => (this.#successor = link),
        () => this.#moveLater(),
      );
    }, delay);
  }

  #moveLater() {
    this.#moveIn(this.#backoff(this.#moves++));
  }

  // --- listening --------------------------------------------------------------------------------------------

  #heard(link, message) {
    if (message.type === "welcome") this.#welcomed(link, message);
    else if (link !== this.#link) return; // a link that was replaced only owes replies
    else if (message.type === "snapshot") this.#changed(link, link.hearing.snapshot(message));
    else if (message.type === "diff") this.#changed(link, link.hearing.diff(message));
    else if (message.type === "self") this.#selfChanged(message);
    else if (message.type === "reconnect") this.#move(message);
    else if (message.type === "error" && message.id === undefined) this.#unasked(link, message);
    // Other types are replies, which the link hands to whoever asked, or younger than this client.
  }

  #welcomed(link, welcome) {
    if (link === this.#successor) {
      this.#successor = null;
      this.#link.retire();
      this.#link = link;
    }
    this.welcome = welcome;
    this.#renewed = false;
    this.#onlineAt = this.#env.now();
    const { missing, gone } = link.hearing.welcomed(welcome);
    if (missing.length) this.#ask(link, missing);
    if (gone.length) link.send({ type: "unwatch", userIds: gone });
    if (welcome.self) this.#selfChanged(welcome.self);
    this.#become("online", { continued: welcome.continued, resumed: welcome.resumed });
    this.#opening?.resolve(welcome);
    this.#opening = null;
    if (link.hearing.isCaughtUp) this.#turnFresh();
  }

  #changed(link, changes) {
    if (changes.length) this.#tell("change", { changes });
    if (link.hearing.isCaughtUp) this.#turnFresh();
  }

  #unasked(link, error) {
    if (error.error === "unavailable" && !link.hearing.isCaughtUp) {
      // Whom hello named could not be looked up in time; a watch can be tried again, a hello cannot.
      const userIds = link.hearing.gaveUp();
      this.#watchlist.drop(userIds);
      this.#ask(link, userIds);
      this.#turnFresh();
    }
    this.#tell("error", error);
  }

  #selfChanged({ userId, status, override, devices }) {
    this.self = { userId, status, override, devices };
    this.#tell("self", this.self);
  }

  #turnStale() {
    const since = this.#env.now();
    if (this.#watchlist.turnStale(since)) this.#tell("stale", { stale: true, since });
  }

  #turnFresh() {
    if (this.#watchlist.turnFresh()) this.#tell("stale", { stale: false, since: null });
  }

  // --- asking -----------------------------------------------------------------------------------------------

  #request(message) {
    if (this.state === "online") return this.#link.request(message);
    return Promise.reject(new PresenceError("not_online", `the client is not online but ${this.state}`));
  }

  /** Send what the next hello says anyway, so that a missing or lost connection is no failure of it. */
  #carry(message) {
    if (this.state !== "online") return Promise.resolve();
    const failed = (error) => {
      if (error.error !== "disconnected") throw error;
    };
    return handled(this.#link.request(message).then(() => {}, failed));
  }

  /** Send a watch. Its failure reaches whoever waits for these users, and the `error` event. */
  #ask(link, userIds) {
    const id = link.takeId();
    link.hearing.asked(userIds, id);
    link.request({ type: "watch", userIds }, id).catch((error) => {
      if (error.error === "disconnected") return; // they are still wanted, and go with the next connection
      this.#watchlist.refuse(userIds, error);
      this.#tell("error", { error: error.error, code: error.code, message: error.message, userIds });
    });
  }

  // --- telling ----------------------------------------------------------------------------------------------

  #become(state, detail = {}) {
    this.state = state;
    this.#tell("state", { state, nextTryAt: this.nextTryAt, ...detail });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
