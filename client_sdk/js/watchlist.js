/**
 * Whom a client watches, what its program was told of them, and who waits for their entries. Pure.
 *
 * What is known of the users is the `View`; this adds what callers see of it: changes from one value to the next, and
 * `await client.watch(ids)`, which returns when the entries are there.
 */

import { isShownAlike, View } from "./view.js";

/** The watched users. Whoever waits for entries is known by a ticket. */
export class Watchlist {
  #told = new Map();
  #waiters = new Map(); // ticket -> {missing, lastRefusal}

  constructor(now) {
    this.view = new View(now);
  }

  /** Follow `view`, a fork of the present one that said hello. */
  adopt(view) {
    view.succeed(this.view);
    this.view = view;
  }

  /** Fold a message. Returns `changes`, what looks different now, and the `tickets` that wait no longer. */
  fold(message) {
    const changed = this.view.receive(message);
    const changes = [];
    for (const after of changed) {
      const { userId } = after;
      const before = this.#told.get(userId);
      // A user whose entry was dropped and asked for again may look as before.
      if (before === undefined || !isShownAlike(before, after)) changes.push({ userId, before, after });
      this.#told.set(userId, after);
    }
    if (this.#waiters.size === 0) return { changes, tickets: [] };
    const named = [...(message.statuses ?? message.changes), ...changed].map(({ userId }) => userId);
    return { changes, tickets: this.#came(named.filter((userId) => this.view.entries.has(userId))) };
  }

  /** Forget these, which were watched. Returns the tickets that wait no longer. */
  unwatch(userIds) {
    this.view.unwatch(userIds);
    for (const userId of userIds) this.#told.delete(userId);
    return this.#came(userIds);
  }

  /**
   * A watch, or hello's own look-up, came to nothing.
   *
   * Users that the server cannot look up now (5xx, 429) stay watched, and are to be asked for again. Others are watched no
   * longer: returns them (`withdrawn`), the `tickets` of those who waited for them, and whether there is anybody to
   * ask for.
   */
  refused(error, failure) {
    const before = new Set(this.view.watched);
    this.view.receive(error);
    const withdrawn = [...before].filter((userId) => !this.view.watched.has(userId));
    const isMissed = ({ missing }) => withdrawn.some((userId) => missing.has(userId));
    const missed = [...this.#waiters].filter(([, waiter]) => isMissed(waiter));
    if (error.code >= 500 || error.code === 429) {
      for (const userId of withdrawn) this.view.watched.add(userId);
      for (const [, waiter] of missed) waiter.lastRefusal = failure;
      const isLeftOut = error.id === undefined && this.view.leftOut().length > 0;
      return { withdrawn: [], tickets: [], isToBeAskedAgain: withdrawn.length > 0 || isLeftOut };
    }
    const tickets = missed.map(([ticket]) => ticket);
    for (const ticket of tickets) this.#waiters.delete(ticket);
    return { withdrawn, tickets, isToBeAskedAgain: false };
  }

  /** Let `ticket` wait for the entries of these; false if all of them are there. */
  wait(ticket, userIds) {
    const missing = new Set([...userIds].filter((userId) => !this.view.entries.has(userId)));
    if (missing.size) this.#waiters.set(ticket, { missing, lastRefusal: null });
    return missing.size > 0;
  }

  /** `ticket` waits no longer. Returns why it waited in vain, where the server said so. */
  giveUp(ticket) {
    const waiter = this.#waiters.get(ticket);
    this.#waiters.delete(ticket);
    return waiter?.lastRefusal ?? null;
  }

  /** The tickets that wait; none of them does any longer. */
  takeWaiters() {
    const tickets = [...this.#waiters.keys()];
    this.#waiters.clear();
    return tickets;
  }

  #came(userIds) {
    const done = [];
    for (const [ticket, { missing }] of this.#waiters) {
      for (const userId of userIds) missing.delete(userId);
      if (missing.size > 0) continue;
      this.#waiters.delete(ticket);
      done.push(ticket);
    }
    return done;
  }
}
