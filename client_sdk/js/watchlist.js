/**
 * Whom a client watches, what it holds of them, and as of when.
 *
 * A `Watchlist` lasts from one connection to the next; a `Hearing` is what one connection was asked and has not
 * answered yet. A cursor speaks for every user whose entry is held, and for nobody else. Hence:
 *
 * - A hello with a cursor names only users whose entries are held; whoever was added while offline is asked for in
 *   a `watch` after `welcome`.
 * - While the snapshot that answers hello is incomplete, no cursor is taken: some entries may be older.
 * - A user who was asked for and not answered yet has no entry, and gets none from a diff or from the answer to an
 *   earlier watch: those are from before he was unwatched, and what happened in between would be missing.
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
    this.drop(removed);
    this.#came(removed);
    return removed;
  }

  /** Forget their entries, though they may still be wanted. */
  drop(userIds) {
    for (const userId of userIds) this.#held.entries.delete(userId);
  }

  /** What a hello says of it: `{watch?, cursor?}`. */
  hello() {
    const known = this.#cursor === null ? [] : this.userIds.filter((userId) => this.holds(userId));
    if (known.length) return { watch: known, cursor: this.#cursor };
    return this.#wanted.size ? { watch: this.userIds } : {};
  }

  wants(userId) {
    return this.#wanted.has(userId);
  }

  holds(userId) {
    return this.#held.entries.has(userId);
  }

  /** All that is held holds as of this (null: as of nothing that a server could resume from). */
  get cursor() {
    return this.#cursor;
  }

  set cursor(cursor) {
    this.#cursor = cursor;
  }

  /** Believe a full snapshot of these users; returns `{userId, before, after}` of each change. */
  replace(statuses) {
    return this.#fold(replace, statuses);
  }

  /** Believe what is newer than what is held; returns `{userId, before, after}` of each change. */
  merge(statuses) {
    return this.#fold(merge, statuses);
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
    const changes = rule(this.#held.entries, statuses);
    this.#came(statuses.map((entry) => entry.userId));
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

export class Hearing {
  /** The hello to send: `{watch?, cursor?}`. */
  hello;

  #watchlist;
  #unanswered; // users of hello, until its snapshot is complete
  #awaited = new Map(); // userId -> the id of the watch that will be answered with his entry
  #resumed = false;
  #caughtUp = false;

  constructor(watchlist) {
    this.#watchlist = watchlist;
    this.hello = watchlist.hello();
    this.#unanswered = new Set(this.hello.watch);
  }

  /** Whether all that is held is what the server knows, but for what is awaited. */
  get isCaughtUp() {
    return this.#caughtUp;
  }

  /** A watch for these is about to be sent with this `id`. */
  asked(userIds, id) {
    for (const userId of userIds) this.#awaited.set(userId, id);
  }

  /** These are wanted no longer: what still comes of them is from before. */
  forget(userIds) {
    for (const userId of userIds) {
      this.#unanswered.delete(userId);
      this.#awaited.delete(userId);
    }
  }

  /** Hello was answered. `missing` must be asked for now, `gone` is watched on this connection but not wanted. */
  welcomed({ resumed }) {
    this.#resumed = resumed;
    if (!resumed) this.#watchlist.cursor = null;
    if (this.#unanswered.size === 0) this.#catchUp();
    const { watch = [] } = this.hello;
    // An entry dropped since hello is missing, too: a resumed snapshot tells only what changed.
    const comes = (userId) => this.#unanswered.has(userId) && (!resumed || this.#watchlist.holds(userId));
    return {
      missing: this.#watchlist.userIds.filter((userId) => !comes(userId)),
      gone: watch.filter((userId) => !this.#watchlist.wants(userId)),
    };
  }

  /** Fold a snapshot or a part of one; returns the changes. */
  snapshot({ id, statuses, more, cursor }) {
    let changes;
    if (id === undefined && !this.#caughtUp) {
      const told = statuses.filter(({ userId }) => this.#unanswered.has(userId));
      changes = this.#resumed ? this.#watchlist.merge(told) : this.#watchlist.replace(told);
      if (!more) this.#catchUp();
    } else {
      const told = statuses.filter(({ userId }) => this.#awaited.get(userId) === id);
      for (const { userId } of told) this.#awaited.delete(userId);
      changes = this.#watchlist.replace(told);
    }
    this.#take(cursor);
    return changes;
  }

  /** Fold a diff; returns the changes. */
  diff({ changes, cursor }) {
    const news = this.#watchlist.merge(changes.filter(({ userId }) => this.#watchlist.holds(userId)));
    this.#take(cursor);
    return news;
  }

  /** The server could not look up whom hello named: returns them, to be asked for anew. */
  gaveUp() {
    const userIds = [...this.#unanswered];
    this.#catchUp();
    return userIds;
  }

  #catchUp() {
    this.#caughtUp = true;
    this.#unanswered.clear();
  }

  #take(cursor) {
    if (cursor !== undefined && this.#caughtUp) this.#watchlist.cursor = cursor;
  }
}
