/**
 * Runs a core on sockets and timers: its actions become links, its deadline a timer, its tickets promises.
 *
 * There is one timer for the core's deadline, and one for the time limit of each call.
 */

import { redacted } from "./address.js";
import { End } from "./attempts.js";
import { CloseCode } from "./close_codes.js";
import { SignedOut } from "./errors.js";
import { withTicket } from "./ticket.js";
import { tokenOf } from "./values.js";
import { WebSocketLink } from "./websocket_link.js";

/** The longest that `setTimeout` can wait. */
const MAX_DELAY = 2 ** 31 - 1;

export class Runner {
  #core;
  #env;
  #identity;
  #device;
  #askToken;
  #owner;
  #links = new Map(); // by number; null while its socket has to wait for the device id
  #tickets = new Map(); // by ticket: {resolve, reject}
  #isPerforming = false;
  #timer = null;
  #timerAt = null;

  /**
   * @param env `{url, WebSocket, setTimeout, clearTimeout, now}`; `now` is the core's clock
   * @param device a DeviceId, or null where the program has chosen one
   * @param askToken gives a token or a promise of one; null: the identity has what there is
   * @param owner hears what the core tells, beside the replies to calls: `told(action)`, between `begins()` and
   *   `settled()`; `happened()` after each event, before anything is told of it; `failed({reason, status}, isSure)`,
   *   why a try came to nothing, and whether another one is likely to; `frame(direction, text)`, what goes over the wire
   */
  constructor(core, env, { identity, device, askToken }, owner) {
    this.#core = core;
    this.#env = env;
    this.#identity = identity;
    this.#device = device;
    this.#askToken = askToken;
    this.#owner = owner;
  }

  /**
   * Let something happen to the core, and carry out what follows. What a listener calls meanwhile comes after what is
   * under way.
   */
  tell(event) {
    event(this.#core, this.#env.now());
    this.#owner.happened();
    if (this.#isPerforming) return;
    this.#isPerforming = true;
    try {
      let actions = this.#core.take();
      do {
        this.#owner.begins();
        for (const action of actions) this.#do(action);
        this.#owner.settled();
        actions = this.#core.take();
      } while (actions.length);
    } finally {
      this.#isPerforming = false;
    }
    this.#arm();
  }

  /** Begin a request (`begin(core, now)` gives its ticket); a promise of its reply, for `timeout` milliseconds. */
  call(begin, { timeout, signal }) {
    let ticket = null;
    const late = () => this.#core.giveUp(ticket, timeout);
    const enlist = (waiting) =>
      this.tell((core, now) => {
        ticket = begin(core, now);
        this.#tickets.set(ticket, waiting);
      });
    const over = () => this.#tickets.delete(ticket);
    return this.wait(enlist, { signal, timeout, late, aborted: late, over });
  }

  /**
   * A promise for `{resolve, reject}`, handed to `enlist`. It rejects with `late()` after `timeout` milliseconds, and
   * with the reason of `signal` when that is aborted: then `aborted()` is called. `over()` is called in any case.
   */
  wait(enlist, { signal, timeout, late, aborted, over }) {
    if (signal?.aborted) return handled(Promise.reject(reasonOf(signal)));
    return handled(
      new Promise((resolve, reject) => {
        let timer = null;
        const end = (settle, value) => {
          this.#env.clearTimeout(timer);
          signal?.removeEventListener("abort", onAbort);
          over(waiting);
          settle(value);
        };
        const waiting = { resolve: (value) => end(resolve, value), reject: (error) => end(reject, error) };
        const onAbort = () => {
          waiting.reject(reasonOf(signal));
          aborted();
        };
        timer = this.#env.setTimeout(() => waiting.reject(late()), Math.min(timeout, MAX_DELAY));
        signal?.addEventListener("abort", onAbort);
        enlist(waiting);
      }),
    );
  }

  #do(action) {
    const { type, link } = action;
    if (type === "AskToken") this.#getToken(link);
    else if (type === "Open") this.#open(link);
    else if (type === "Send") this.#links.get(link)?.send(action.message);
    else if (type === "Close") this.#close(link, action.code, action.reason);
    else if (type === "Settled") this.#settle(action);
    else this.#owner.told(action);
  }

  #settle({ ticket, reply, error }) {
    const waiting = this.#tickets.get(ticket);
    if (error === null) waiting?.resolve(reply);
    else waiting?.reject(error);
  }

  /** One timer; one that fires too early arms itself anew, which is cheaper than to move it with each frame. */
  #arm() {
    const deadline = this.#core.deadline();
    if (this.#timerAt !== null && (deadline === null || deadline < this.#timerAt)) {
      this.#env.clearTimeout(this.#timer);
      this.#timerAt = null;
    }
    if (this.#timerAt !== null || deadline === null) return;
    const fire = () => {
      this.#timerAt = null;
      this.tell((core, now) => core.tick(now));
    };
    const delay = Math.min(Math.max(0, Math.ceil(deadline - this.#env.now())), MAX_DELAY);
    this.#timerAt = deadline;
    this.#timer = this.#env.setTimeout(fire, delay);
  }

  async #getToken(link) {
    let token;
    try {
      const given = await Promise.resolve().then(this.#askToken); // not from within what is under way
      if (given === null || given === undefined || given?.name === "SignedOut") throw given ?? new SignedOut();
      token = tokenOf(given);
    } catch (error) {
      const reason = redacted(String(error?.message || error?.name || "it failed"), this.#identity.token);
      if (error?.name === "SignedOut") {
        this.tell((core, now) => core.signedOut(link, reason, now));
      } else {
        this.tell((core, now) => core.tokenFailed(link, reason, now));
        this.#owner.failed({ reason: `no token: ${reason}`, status: null }, true);
      }
      return;
    }
    this.tell((core, now) => core.token(link, token, now));
  }

  /** Make a link, once there is a device id; at once if it is known. */
  #open(link) {
    this.#links.set(link, null);
    const claimed = this.#device?.claim();
    if (typeof claimed?.then === "function") claimed.then((deviceId) => this.#claimed(link, deviceId));
    else this.#claimed(link, claimed);
  }

  #claimed(link, deviceId) {
    if (!this.#links.has(link)) return; // it was given up meanwhile
    if (deviceId) this.#identity.deviceId = deviceId;
    const { url, fetch } = this.#env;
    if (!this.#identity.hasTickets) {
      this.#connect(link, url);
      return;
    }
    withTicket(fetch, url, this.#identity.token).then(
      (place) => this.#connect(link, place),
      (end) => this.#links.has(link) && this.#ended(link, end, false),
    );
  }

  #connect(link, url) {
    if (!this.#links.has(link)) return;
    const events = {
      opened: () => this.tell((core, now) => core.opened(link, now)),
      received: (message) => this.tell((core, now) => core.received(link, message, now)),
      ended: (end, wasOpened) => this.#ended(link, end, wasOpened),
      frame: (direction, text) => this.#owner.frame(direction, text),
    };
    try {
      this.#links.set(link, new WebSocketLink(this.#env.WebSocket, url, events));
    } catch (error) {
      const reason = `a WebSocket cannot be made (${error?.name}: ${redacted(String(error?.message))})`;
      this.#ended(link, End(CloseCode.ABNORMAL, reason, { isFinal: true }), false);
    }
  }

  #ended(link, end, wasOpened) {
    this.#links.delete(link);
    this.tell((core, now) => core.lost(link, end, now));
    if (!wasOpened) this.#owner.failed(end, end.status !== null || end.isFinal);
  }

  #close(link, code, reason) {
    this.#links.get(link)?.close(code, reason);
    this.#links.delete(link);
  }
}

/** A promise nobody has to catch: a failure reaches who asks for it, but ignoring it is no error of the page's. */
export function handled(promise) {
  promise.catch(() => {});
  return promise;
}

function reasonOf(signal) {
  if (signal.reason !== undefined) return signal.reason;
  return Object.assign(new Error("aborted"), { name: "AbortError" });
}
