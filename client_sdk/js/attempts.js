/**
 * Whether and when to connect again. Pure: chance comes in as a function.
 *
 * Whether is the close code's word (`close_codes.js`), when is `backoff.js`'s. Only a connection that lasted begins
 * anew: one that was welcomed and thrown out may be a refusal, and so may a request to move that follows at once.
 */

import { Backoff } from "./backoff.js";
import { advice } from "./close_codes.js";

/**
 * Milliseconds that a connection must live to begin the backoff anew, to earn another try with a new token, and to move
 * at once when asked to: a shorter one may be a refusal. The server's ping interval is enough where that is shorter.
 */
const SETTLED = 5_000;

/**
 * How a link ended. `code`: of the close frame, 1006 without one. `retryAfter`: milliseconds, if the peer said so.
 * `status`: of a refused handshake, where it is known. `isFinal`: trying again unchanged cannot help.
 */
export const End = (code, reason = "", { retryAfter = null, status = null, isFinal = false } = {}) =>
  Object.freeze({ code, reason, retryAfter, status, isFinal });

export const Policy = ({ backoff = new Backoff() } = {}) => ({ backoff });

/** What was tried so far, and what follows from it. Delays are in milliseconds. */
export class Attempts {
  #policy;
  #chance;
  #tries = 0; // since a connection lasted
  #moves = 0; // tries that failed since there was reason to move
  #askedToMove = 0; // by connections that did not last
  #isRenewed = false;

  constructor(policy, chance) {
    this.#policy = policy;
    this.#chance = chance;
  }

  /** A connection ended, or was replaced: if it lasted, the backoff begins anew. */
  ended(conversation, now) {
    if (!hasLasted(conversation, now)) return;
    this.#tries = 0;
    this.#isRenewed = false;
  }

  /** After how long to try again (0: at once, with a new token); null: not at all. */
  next(conversation, end, hasTokens, now) {
    this.ended(conversation, now);
    const then = advice(end.code);
    if (then === "renew" && hasTokens && !this.#isRenewed) {
      this.#isRenewed = true;
      return 0;
    }
    return then === "reconnect" && !end.isFinal ? this.backoff(end.retryAfter) : null;
  }

  /** After how long to try again, whatever the code said. */
  backoff(retryAfter = null) {
    return this.#policy.backoff.delay(this.#tries++, this.#chance(), retryAfter);
  }

  /**
   * The server asks to move, `after` milliseconds from now. Returns after how long to try.
   *
   * With backoff, if it asks a connection that is new, or asks again: two servers that both are about to end must not
   * throw a client to and fro.
   */
  beginMoving(conversation, after, now) {
    if (hasLasted(conversation, now) && !conversation.isToMove) this.#moves = this.#askedToMove = 0;
    conversation.isToMove = true;
    this.#askedToMove++;
    if (this.#askedToMove === 1) return after;
    return Math.max(after, this.#policy.backoff.delay(this.#askedToMove - 2, this.#chance()));
  }

  /** After how long to try once more to replace the connection. */
  moveDelay(retryAfter = null) {
    return this.#policy.backoff.delay(this.#moves++, this.#chance(), retryAfter);
  }

  /** After how long to ask again for users whom the server could not look up. */
  rewatchDelay(retryAfter = null) {
    return this.#policy.backoff.delay(2, this.#chance(), retryAfter);
  }
}

function hasLasted({ welcome, welcomedAt }, now) {
  return welcome !== null && now - welcomedAt >= Math.min(SETTLED, welcome.limits.pingInterval);
}
