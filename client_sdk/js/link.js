/**
 * One connection: hello and welcome, requests and their replies, and whether the other side is still there.
 *
 * A link knows nothing of views, tokens or second tries. It lives once: connecting, welcomed, ended.
 */

import { ABANDONED, ABNORMAL, GOING_AWAY } from "./retry.js";

export const SUBPROTOCOL = "presence.v1.json";

/** Longest wait for `welcome`, from the moment the socket is asked for, in milliseconds. */
const WELCOME_TIMEOUT = 15_000;

/** Why a request failed. `error` is a stable English code, `code` the HTTP-like number of a server's answer. */
export class PresenceError extends Error {
  constructor(error, message, { code, details } = {}) {
    super(message);
    this.name = "PresenceError";
    this.error = error;
    this.code = code ?? null;
    this.details = details ?? [];
  }
}

export class Link {
  /** What the server said first; null until then. */
  welcome = null;
  /** What it was asked and has not answered yet: its owner's, from hello on. */
  hearing = null;

  #socket;
  #env;
  #owner;
  #timer;
  #ended = false;
  #heardAt;
  #nextId = 1;
  #pending = new Map();
  #retired = false;

  /**
   * @param env `{url, WebSocket, setTimeout, clearTimeout, now}`
   * @param owner called with the link first: `hello(link)` gives the first message, `message(link, message)` is
   *   told each one in order (welcome too), `ended(link, code, reason)` once unless the owner closed the link
   *   itself, `frame(direction, text)` what goes over the wire
   */
  constructor(env, owner) {
    this.#env = env;
    this.#owner = owner;
    const socket = (this.#socket = new env.WebSocket(env.url, [SUBPROTOCOL]));
    socket.onopen = () => this.send(owner.hello(this));
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#end(event.code, event.reason);
    // What an error could tell, onclose tells better; but Node's `ws` throws what nobody listens to.
    socket.onerror = () => {};
    this.#timer = env.setTimeout(() => this.fail("no welcome in time"), WELCOME_TIMEOUT);
  }

  /** Send a message that needs no reply. */
  send(message) {
    if (this.#ended) return;
    const text = JSON.stringify(message);
    this.#socket.send(text);
    this.#owner.frame("out", text);
  }

  /** An id that no other request on this link has. */
  takeId() {
    return this.#nextId++;
  }

  /** Send a message; the promise is its reply (the last part of a snapshot) or a PresenceError. */
  request(message, id = this.takeId()) {
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.send({ ...message, id });
    });
  }

  /** Give the connection up as lost, as if the network had dropped it. */
  fail(reason) {
    const socket = this.#socket;
    this.#end(ABNORMAL, reason);
    // Should the other side still hear it, this is an unclean end: it starts the grace period.
    socket.close(ABANDONED, reason);
  }

  /** End it without telling the owner. */
  close(code, reason) {
    const socket = this.#socket;
    this.#stop("the connection was closed");
    if (code === GOING_AWAY) {
      try {
        socket.close(code, reason);
        return;
      } catch {
        code = ABANDONED; // a browser allows no 1001
      }
    }
    socket.close(code, reason);
  }

  /** Another link took over: close this one as soon as the replies it still owes have come. */
  retire() {
    this.#retired = true;
    if (this.#pending.size === 0) this.close(GOING_AWAY, "moved to another connection");
  }

  #receive(data) {
    if (typeof data === "string") this.#owner.frame("in", data);
    const message = parse(data);
    if (!message) {
      this.fail("the server sent what is not a message");
      return;
    }
    this.#heardAt = this.#env.now();
    if (message.type === "welcome") this.#welcomed(message);
    this.#owner.message(this, message);
    this.#settle(message);
  }

  #welcomed(message) {
    this.welcome = message;
    this.#env.clearTimeout(this.#timer);
    this.#listen();
  }

  #settle(message) {
    const request = this.#pending.get(message.id);
    if (!request || message.more) return;
    this.#pending.delete(message.id);
    if (message.type === "error") request.reject(new PresenceError(message.error, message.message, message));
    else request.resolve(message);
    if (this.#retired) this.retire();
  }

  /** Scripts see no WebSocket pings: whoever hears nothing for longer than `pingInterval` asks. */
  #listen() {
    const { pingInterval, pongTimeout } = this.welcome.limits;
    const quiet = this.#env.now() - this.#heardAt;
    if (quiet < pingInterval) {
      this.#timer = this.#env.setTimeout(() => this.#listen(), pingInterval - quiet);
      return;
    }
    const heardBefore = this.#heardAt;
    this.#timer = this.#env.setTimeout(() => {
      if (this.#heardAt === heardBefore) this.fail("no answer to ping");
      else this.#listen();
    }, pongTimeout);
    this.send({ type: "ping" });
  }

  #end(code, reason) {
    if (this.#ended) return;
    this.#stop("the connection ended before the reply came");
    this.#owner.ended(this, code, reason);
  }

  #stop(why) {
    if (this.#ended) return;
    this.#ended = true;
    this.#env.clearTimeout(this.#timer);
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    for (const { reject } of this.#pending.values()) reject(new PresenceError("disconnected", why));
    this.#pending.clear();
  }
}

/** The message in a frame, or null. */
function parse(data) {
  try {
    const message = JSON.parse(data);
    return typeof message === "object" ? message : null;
  } catch {
    return null;
  }
}
