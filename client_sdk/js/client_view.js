/** The view of a client as its page sees it. */

/**
 * The users a client watches, as a read-only Map of userId to entry, always the newest.
 *
 * `stale` is true while the client is not connected, or has not heard the whole first answer yet: then the entries are
 * what was true at `staleSince` (milliseconds, as `Date.now()`; null if the view never was fresh).
 */
export class ClientView {
  #view;
  #since = null;
  #wasFresh = false;
  #isToBeTold = false;

  /** `view`: a function that gives the core's. */
  constructor(view) {
    this.#view = view;
  }

  get stale() {
    return this.#view().staleSince !== null;
  }

  get staleSince() {
    return this.stale ? this.#since : null;
  }

  get size() {
    return this.#view().entries.size;
  }

  get(userId) {
    return this.#view().entries.get(userId);
  }

  has(userId) {
    return this.#view().entries.has(userId);
  }

  keys() {
    return this.#view().entries.keys();
  }

  values() {
    return this.#view().entries.values();
  }

  entries() {
    return this.#view().entries.entries();
  }

  forEach(visit, thisArg) {
    for (const [userId, entry] of this) visit.call(thisArg, entry, userId, this);
  }

  [Symbol.iterator]() {
    return this.entries();
  }

  // --- for the client: the core has times of a clock of its own, and pages want those of the calendar

  /** It was fresh and is stale as of now, `date`. */
  turnStale(date) {
    this.#since = date;
    if (this.#wasFresh) this.#isToBeTold = true;
    this.#wasFresh = false;
  }

  /** What to tell of it, once; null if it was told. */
  takeStale() {
    if (!this.#isToBeTold) return null;
    this.#isToBeTold = false;
    return { stale: true, since: this.#since };
  }

  /** It is fresh now; false if that was told. */
  turnFresh() {
    if (this.#wasFresh) return false;
    this.#wasFresh = true;
    return true;
  }
}
