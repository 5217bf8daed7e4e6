/**
 * How long to wait before the next try. Pure: chance comes in as an argument.
 *
 * Full jitter (anything from 0 up to a ceiling that doubles), since thousands of clients lose a server at the same
 * moment and must not come back at the same one.
 */

/** Milliseconds of Retry-After that are believed; a mistyped header must not keep a client away for a day. */
const MAX_RETRY_AFTER = 300_000;

export class Backoff {
  /** `base`: the ceiling of the first wait, in milliseconds; `cap`: the ceiling of all. */
  constructor({ base = 1000, cap = 30_000 } = {}) {
    this.base = base;
    this.cap = cap;
  }

  /** Milliseconds that try number `attempt` (0, 1, ...) waits at most. */
  ceiling(attempt) {
    return Math.min(this.cap, this.base * 2 ** Math.min(attempt, 30));
  }

  /** Milliseconds to wait before try number `attempt`. `chance`: from 0 up to 1; `retryAfter`: asked for at least. */
  delay(attempt, chance, retryAfter = null) {
    const least = retryAfter === null ? 0 : Math.min(Math.max(retryAfter, 0), MAX_RETRY_AFTER);
    return least + chance * this.ceiling(attempt);
  }
}

/** Milliseconds to wait before try number `attempt` (0, 1, ...), in whole ones. */
export function backoff(attempt, random, options) {
  return Math.floor(new Backoff(options).delay(attempt, random()));
}
