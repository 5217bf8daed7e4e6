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
  #wasStale = true;
  #news = [];

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

  /** Something happened, as of `date`: did it turn stale or fresh? */
  look(date) {
    if (this.stale === this.#wasStale) return;
    this.#wasStale = this.stale;
    if (this.stale) this.#since = date;
    this.#news.push({ stale: this.stale, since: this.stale ? date : null });
  }

  /** What to tell of it, once: that it is stale, or that it is fresh; null for nothing. */
  takeNews(isStale) {
    return this.#news[0]?.stale === isStale ? this.#news.shift() : null;
  }
}
