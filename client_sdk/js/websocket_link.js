/**
 * A link over WebSocket: the browser's, or whatever looks like one.
 *
 * It owns no decision: when to ping, when to give up and when to come back is the core's. It lives once.
 */

import { End } from "./attempts.js";
import { CloseCode } from "./close_codes.js";
import { decode, shown } from "./messages.js";

export const SUBPROTOCOL = "presence.v1.json";

/** Scripts in a browser may close with 1000 or 3000-4999 only; the server takes this one for an unclean end. */
const ABANDONED = 3001;

/** How Node's `ws`, React Native and others tell what HTTP answered in place of a WebSocket. */
const REFUSAL = /(?:response|status)\D{1,30}([1-5]\d\d)\b/i;

export class WebSocketLink {
  #socket;
  #events;
  #wasOpened = false;
  #complaint = "";

  /**
   * Connect.
   *
   * @param WebSocket a class as the browser's
   * @param events where it reports to: `opened()`, `received(message)`, `ended(end, wasOpened)` once, unless it was
   *   closed from here; and `frame(direction, text)`, what goes over the wire, without the token
   */
  constructor(WebSocket, url, events) {
    this.#events = events;
    const socket = (this.#socket = new WebSocket(url, [SUBPROTOCOL]));
    socket.onopen = () => {
      this.#wasOpened = true;
      this.#events?.opened();
    };
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => this.#end(this.#endOf(event ?? {}));
    // Node's `ws` throws what nobody listens to, and this is where it says what HTTP answered.
    socket.onerror = (event) => {
      this.#complaint = String(event?.message || event?.error?.message || "");
    };
  }

  /** Send. After the end it does nothing. */
  send(message) {
    if (this.#events === null) return;
    try {
      this.#socket.send(JSON.stringify(message));
    } catch (failure) {
      this.#end(End(CloseCode.ABNORMAL, `it could not be sent (${failure.name})`));
      return;
    }
    this.#events?.frame("out", shown(message));
  }

  /** Close with this code, 1006: drop it. Nothing more is reported. */
  close(code, reason) {
    this.#events = null;
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    // Should the other side still hear of a drop, it is an unclean end: it starts the grace period.
    const told = code === CloseCode.ABNORMAL ? ABANDONED : code;
    try {
      socket.close(told, reason);
    } catch {
      socket.close(ABANDONED, reason); // a browser allows no 1001
    }
  }

  #receive(data) {
    if (typeof data === "string") this.#events?.frame("in", data);
    const message = decode(data);
    if (message !== null) {
      this.#events?.received(message);
      return;
    }
    const events = this.#events;
    this.close(CloseCode.ABNORMAL, "not a message");
    events?.ended(End(CloseCode.ABNORMAL, "the server sent what is not a message"), true);
  }

  #endOf({ code = CloseCode.ABNORMAL, reason = "" }) {
    if (this.#wasOpened || code !== CloseCode.ABNORMAL) return End(code, reason);
    const [, status] = REFUSAL.exec(this.#complaint) ?? [];
    if (status !== undefined) return End(code, `refused: HTTP ${status}`, { status: Number(status) });
    return End(code, reason || "cannot connect: nobody answers there, or no WebSocket is allowed");
  }

  #end(end) {
    const events = this.#events;
    this.#events = null;
    events?.ended(end, this.#wasOpened);
  }
}
