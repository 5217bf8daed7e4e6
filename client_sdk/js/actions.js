/**
 * What the core asks of whoever runs it, and what it tells: plain objects, whose `type` is the maker's name.
 *
 * The core is told events by method calls, and puts these into a list: see `core.js`. Links are numbered; a number is
 * used once. Of a link that was given up (`Close`) the core wants to hear nothing more, and ignores it.
 */

/** Where a client is, in the words of a UI. */
export const Phase = Object.freeze({
  CONNECTING: "connecting",
  ONLINE: "online",
  WAITING: "waiting", // until the next try
  CLOSED: "closed", // for good, or not started yet
});

/**
 * The state of the connection, for a UI. `retryIn`: WAITING, milliseconds from this state's beginning to the next
 * try. `code`, `reason`: how the last connection ended, or why there was none; 0 and empty at first.
 */
export const ConnectionState = (phase, { retryIn = null, code = 0, reason = "" } = {}) =>
  Object.freeze({ phase, retryIn, code, reason });

// --- what is to be done

/** Get a token for this link, which may be live already, then tell `token`, `tokenFailed` or `signedOut`. */
export const AskToken = (link) => ({ type: "AskToken", link });

/** Connect; then tell `opened`, or `lost`. */
export const Open = (link) => ({ type: "Open", link });

export const Send = (link, message) => ({ type: "Send", link, message });

/** Close the link with this code; 1006: drop it. */
export const Close = (link, code, reason) => ({ type: "Close", link, code, reason });

// --- what is told

/** A request is done: its reply (null where there is none to show), or its error. */
export const Settled = (ticket, reply = null, error = null) => ({ type: "Settled", ticket, reply, error });

/** Of watched users, each `{userId, before, after}`: `before` as last told, undefined the first time. */
export const Changed = (changes) => ({ type: "Changed", changes });

export const Became = (state) => ({ type: "Became", state });

/** The user's own truth. */
export const SelfTold = (self) => ({ type: "SelfTold", self });

/** The server refuses what no call waits for: `{error, code, message, userIds?}`. */
export const Complained = (error) => ({ type: "Complained", error });
