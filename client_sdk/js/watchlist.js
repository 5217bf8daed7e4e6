/**
 * Whom a client watches, what it holds of them, and as of when: what lasts from one connection to the next.
 *
 * A cursor speaks only for users whose entries are held. So a hello with a cursor names these alone, and whoever
 * was added while offline is asked for in a `watch` after `welcome`.
 */

import { merge, PresenceView, replace } from "./view.js";

export class Watchlist {
  #wanted;
  #held = { entries: new Map(), stale: true, staleSince: null };
  #cursor = null;
  #waiters = new Set();

  /** What is held, for others to read. */
  view = new PresenceView(this.#held);

  constructor(userIds) {
    this.#wanted = new Set(userIds);
  }

  get userIds() {
    return [...this.#wanted];
  }

  /** Want these, too; returns those that are new. */
  add(userIds) {
    const added = [...new Set(userIds)].filter((userId) => !this.#wanted.has(userId));
    for (const userId of added) this.#wanted.add(userId);
    return added;
  }

  /** Want these no longer and forget their entries; returns those that were wanted. */
  remove(userIds) {
    const removed = [...new Set(userIds)].filter((userId) => this.#wanted.delete(userId));
    for (const userId of removed) this.#held.entries.delete(userId);
    this.#came(removed);
    return removed;
  }

  /** What a hello says of it: `{watch?, cursor?}`. */
  hello() {
    const known = this.#cursor === null ? [] : this.userIds.filter((userId) => this.#held.entries.has(userId));
    if (known.length) return { watch: known, cursor: this.#cursor };
    return this.#wanted.size ? { watch: this.userIds } : {};
  }

  /**
   * The server answered a hello that asked for `asked`: `missing` must be asked for now, `gone` is no longer wanted.
   *
   * An entry dropped since hello is missing as well: a resumed snapshot tells only what changed.
   */
  welcomed(asked, resumed) {
    // Until the full snapshot is complete no cursor speaks for what is held.
    if (!resumed) this.#cursor = null;
    const named = new Set(asked);
    const answered = (userId) => named.has(userId) && (!resumed || this.#held.entries.has(userId));
    return {
      missing: this.userIds.filter((userId) => !answered(userId)),
      gone: asked.filter((userId) => !this.#wanted.has(userId)),
    };
  }

  /** Believe a full snapshot (or a part of one); returns `{userId, before, after}` of each change. */
  replace(statuses) {
    return this.#fold(replace, statuses);
  }

  /** Believe a diff or a resumed snapshot where it is newer; returns `{userId, before, after}` of each change. */
  merge(statuses) {
    return this.#fold(merge, statuses);
  }

  /** All that is held holds as of `cursor`. */
  keep(cursor) {
    if (cursor !== undefined) this.#cursor = cursor;
  }

  /** Note that nobody tells us changes any more; false if that was known. */
  turnStale(now) {
    if (this.#held.stale) return false;
    this.#held.stale = true;
    this.#held.staleSince = now;
    return true;
  }

  /** Note that what is held is what is so; false if that was known. */
  turnFresh() {
    if (!this.#held.stale) return false;
    this.#held.stale = false;
    return true;
  }

  /** A promise that entries of all of these are held (or no longer wanted). */
  wait(userIds) {
    const missing = new Set(userIds.filter((userId) => !this.#held.entries.has(userId)));
    if (missing.size === 0) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiters.add({ missing, resolve, reject }));
  }

  /** These cannot be watched: they are wanted no longer, and who waits for them hears why. */
  refuse(userIds, error) {
    for (const waiter of this.#waiters) {
      if (userIds.some((userId) => waiter.missing.has(userId))) this.#reject(waiter, error);
    }
    this.remove(userIds);
  }

  /** Nobody is going to come; who waits hears why. What is wanted and held stays. */
  giveUp(error) {
    for (const waiter of this.#waiters) this.#reject(waiter, error);
  }

  #fold(rule, statuses) {
    const told = statuses.filter((entry) => this.#wanted.has(entry.userId));
    const changes = rule(this.#held.entries, told);
    this.#came(told.map((entry) => entry.userId));
    return changes;
  }

  #came(userIds) {
    for (const waiter of this.#waiters) {
      for (const userId of userIds) waiter.missing.delete(userId);
      if (waiter.missing.size > 0) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
  }

  #reject(waiter, error) {
    this.#waiters.delete(waiter);
    waiter.reject(error);
  }
}
