/**
 * What a client knows about others, and the two rules by which it learns more.
 *
 * A full snapshot *replaces* what is held of the users it names. A diff, and the snapshot that answers a resumed
 * hello, *merge*: of two entries of one user the greater version stays. Repeats are therefore harmless.
 */

/** The view after a full snapshot: a new Map; `view` (anything that iterates like a Map) is left as it was. */
export function applySnapshot(view, statuses) {
  const next = new Map(view);
  replace(next, statuses);
  return next;
}

/** The view after a diff or a resumed snapshot: a new Map; `view` is left as it was. */
export function applyDiff(view, changes) {
  const next = new Map(view);
  merge(next, changes);
  return next;
}

/** Write every entry into `entries`; return `{userId, before, after}` for those whose version differs. */
export function replace(entries, statuses) {
  const changes = [];
  for (const after of statuses) {
    const before = entries.get(after.userId);
    entries.set(after.userId, after);
    if (before?.version !== after.version) changes.push({ userId: after.userId, before, after });
  }
  return changes;
}

/** Write the entries that are newer than what is held; return `{userId, before, after}` for those. */
export function merge(entries, statuses) {
  const changes = [];
  for (const after of statuses) {
    const before = entries.get(after.userId);
    if (before && before.version >= after.version) continue;
    entries.set(after.userId, after);
    changes.push({ userId: after.userId, before, after });
  }
  return changes;
}

/**
 * The users a client watches, as a read-only Map of userId to entry.
 *
 * `stale` is true while the client is not connected, or has not heard the whole first answer yet: then the entries
 * are what was true at `staleSince` (milliseconds, as `Date.now()`; null if the view never was fresh).
 */
export class PresenceView {
  #held;

  /** @param held what the owner writes to: `{entries: Map, stale: boolean, staleSince: number | null}` */
  constructor(held) {
    this.#held = held;
  }

  get stale() {
    return this.#held.stale;
  }

  get staleSince() {
    return this.#held.stale ? this.#held.staleSince : null;
  }

  get size() {
    return this.#held.entries.size;
  }

  get(userId) {
    return this.#held.entries.get(userId);
  }

  has(userId) {
    return this.#held.entries.has(userId);
  }

  keys() {
    return this.#held.entries.keys();
  }

  values() {
    return this.#held.entries.values();
  }

  entries() {
    return this.#held.entries.entries();
  }

  forEach(visit, thisArg) {
    for (const [userId, entry] of this) visit.call(thisArg, entry, userId, this);
  }

  [Symbol.iterator]() {
    return this.entries();
  }
}
