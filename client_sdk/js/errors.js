/**
 * What can go wrong for whoever uses the SDK, and what to do about it.
 *
 *     PresenceError
 *     +-- NotConnected      there was no connection in time, or none can be had
 *     +-- RequestTimedOut   it was sent, and no reply came in time
 *     +-- ConnectionClosed  the connection ended before the reply, or the client stopped for good
 *     +-- RequestFailed     the server answered with an error
 *
 * All have the `name` "PresenceError"; programs tell them apart by `error`, a stable English code. Arguments that
 * cannot be right are a RangeError or TypeError, before anything is sent.
 */

import { advice, CloseCode } from "./close_codes.js";

/** By close code: what to do, where coming back unchanged would not help. */
const HINTS = {
  [CloseCode.MALFORMED]: "the server did not understand this client, or a limit was exceeded; the reason says which",
  [CloseCode.UNAUTHENTICATED]: "pass a valid `token`, or a function that gets a new one",
  [CloseCode.FORBIDDEN]: "this token may not act for this user",
  [CloseCode.REPLACED]: "another device of the user took over, or one has the same deviceId: leave deviceId out",
  [CloseCode.ENDED]: "the back end ended this device; connect anew if the person comes back",
  [CloseCode.TOO_MANY_DEVICES]: "the user has too many devices: reuse device ids",
  [CloseCode.TOO_LARGE]: "a message was too large: watch or query fewer users at once",
  [CloseCode.TOO_BIG]: "a message was too large: watch or query fewer users at once",
};

/** Whatever the SDK raises, apart from wrong arguments. `code`: the HTTP-like number of a server's answer, or null. */
export class PresenceError extends Error {
  constructor(error, message, { code = null, details = [] } = {}) {
    super(message);
    this.name = "PresenceError";
    this.error = error;
    this.code = code;
    this.details = details ?? [];
  }
}

/**
 * There was no connection: `error` is "not_online". Nothing was sent, and nothing will be. `reason`: why the last try
 * failed, in words, or empty; `status`: the HTTP status of a refused handshake, or null where it cannot be had.
 */
export class NotConnected extends PresenceError {
  constructor(milliseconds, reason = "", status = null) {
    const within = milliseconds === null ? "not connected" : `not connected within ${milliseconds / 1000} s`;
    super("not_online", `${within}${reason ? ` (last try: ${reason})` : ""}; the client goes on trying`);
    this.reason = reason;
    this.status = status;
  }
}

/** The request was sent, and no reply came in time: `error` is "timeout". It may have been carried out or not. */
export class RequestTimedOut extends PresenceError {
  constructor(milliseconds) {
    super("timeout", `no reply within ${milliseconds / 1000} s; it may have been carried out or not: ask again`);
  }
}

/**
 * The connection ended. `closeCode` and `reason` of its close (1006: without one), and the code's `advice`.
 *
 * With the advice "reconnect" (`error` is "disconnected") the client comes back by itself, and only this request is
 * lost. Otherwise (`error` is "closed") it has stopped for good. `wasSent`: the request was sent, and its reply never
 * came: it may have been carried out. If false, it was not sent, and nothing was done.
 */
export class ConnectionClosed extends PresenceError {
  constructor(closeCode, reason, then = advice(closeCode), wasSent = false) {
    super(then === "reconnect" ? "disconnected" : "closed", explained(closeCode, reason, then, wasSent));
    this.wasSent = wasSent;
    this.closeCode = closeCode;
    this.reason = reason;
    this.advice = then;
  }
}

/** The server answered with an error, and did nothing. 4xx would fail again unchanged, 5xx may be tried later. */
export class RequestFailed extends PresenceError {
  /** `retryAfter`: milliseconds to wait at least before it is asked again, or null. */
  constructor({ code, error, message, details, retryAfterMs }) {
    super(error, message, { code, details });
    this.retryAfter = retryAfterMs ?? null;
  }
}

/** Thrown by a token function (or given, or null in its place): the person is signed out, so the client stops. */
export class SignedOut extends Error {
  constructor(message = "signed out") {
    super(message);
    this.name = "SignedOut";
  }
}

function explained(closeCode, reason, then, wasSent) {
  const why = reason ? `: ${reason}` : "";
  if (then === "reconnect") {
    return `the connection ended (${closeCode}${why}) before the reply; it may have been carried out: ask again`;
  }
  const sent = wasSent ? "; it was sent before that, and may have been carried out" : "";
  if (closeCode === CloseCode.NORMAL) return `the client is closed (${reason || "1000"}): connect() starts it anew${sent}`;
  const hint = HINTS[closeCode];
  return `the client is closed: ${closeCode}${why ? ` ${reason}` : ""}${sent}${hint ? `; ${hint}` : ""}`;
}
