/**
 * What a watcher knows: snapshots and diffs folded. Pure.
 *
 * Two rules do it. A full snapshot *replaces* what is held of its users; a diff, and the snapshot that answers a
 * resumed hello, *merge*: of two entries of one user the greater version stays. Repeats are therefore harmless.
 *
 * A cursor speaks for every user whose entry is held, and for nobody else. Hence the three things that `View` is
 * careful about:
 *
 * - While the snapshot that answers hello is incomplete, cursors are not taken: some of the entries may be older.
 * - A user who was asked for and not yet answered has no entry, and gets none from a diff: that one was on its way
 *   for an earlier watch of the same user, whose withdrawal is on its way, too.
 * - Only users with an entry go into a hello with a cursor; the others are watched after the welcome.
 *
 * Each part of a snapshot is folded as it comes, not when the last has come: a diff between two parts may be newer
 * than the first of them.
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

/** The entry of a user of whom nothing is known. */
export function unknown(userId) {
  return { userId, status: "OFFLINE", platforms: [], lastActiveTime: null, version: 0 };
}

/** Whether two entries of one user differ in nothing but their version. */
export function isShownAlike(one, other) {
  return (
    one.status === other.status &&
    one.platforms.join() === other.platforms.join() &&
    (one.statusText ?? "") === (other.statusText ?? "") &&
    isToldAlike(one.platformStatus ?? {}, other.platformStatus ?? {}) &&
    (one.statusEmoji ?? "") === (other.statusEmoji ?? "") &&
    one.idleSince === other.idleSince &&
    one.lastActiveTime === other.lastActiveTime &&
    (one.lastSeen ?? "") === (other.lastSeen ?? "")
  );
}

function isToldAlike(one, other) {
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name]);
}

/** Write every entry into `entries`; return those that changed what is shown. */
function replace(entries, statuses) {
  const named = new Map();
  for (const entry of statuses) named.set(entry.userId, entry);
  return [...named.values()].filter((entry) => put(entries, entry));
}

/** Write the entries that are newer than what is held; return those that changed what is shown. */
function merge(entries, changes) {
  return changes.filter((entry) => {
    const held = entries.get(entry.userId);
    return !(held && held.version >= entry.version) && put(entries, entry);
  });
}

function put(entries, entry) {
  const held = entries.get(entry.userId);
  entries.set(entry.userId, entry);
  return held === undefined || !isShownAlike(held, entry);
}

/**
 * One watcher's view over any number of connections. It sends nothing; it is told what was sent and received.
 *
 * It follows one connection at a time: from `hello()` on, what an older one still receives is not for it. Every
 * `watch` must have an `id`, used for no other message of the same connection.
 */
export class View {
  entries = new Map();
  watched = new Set();
  cursor = null;
  /** Since when the entries may be out of date; null while they are kept up to date. A view starts out stale. */
  staleSince;

  #awaited = new Map(); // userId -> the id of the watch that will be answered with an entry
  #helloOpen = false; // hello's snapshot is still to come, or to be completed
  #helloAsked = new Set(); // its users that no part has named yet, in order
  #isResumed = false;

  constructor(now) {
    this.staleSince = now;
  }

  /** What to put into a hello: `userIds`, and the `cursor` that speaks for them (null: none does). */
  hello() {
    if (this.cursor === null || this.entries.size === 0) {
      this.cursor = null;
      this.#helloAsked = new Set(ascending(this.watched));
    } else {
      this.#helloAsked = new Set(ascending(this.entries.keys()));
    }
    this.#helloOpen = true;
    this.#isResumed = false;
    this.#awaited.clear();
    return { userIds: [...this.#helloAsked], cursor: this.cursor };
  }

  /** Watched users whom the last hello left out, or whose look-up failed: `watch` them after the welcome. */
  leftOut() {
    return ascending(this.watched).filter((userId) => !this.#isAsked(userId));
  }

  /** A copy for a connection that is to replace the present one: say `hello` with it, `succeed` when it takes over. */
  fork() {
    const copy = new View(this.staleSince);
    copy.entries = new Map(this.entries);
    copy.watched = new Set(this.watched);
    copy.cursor = this.cursor;
    return copy;
  }

  /**
   * This copy's connection takes over from that of `former`; to be called before its welcome is received.
   *
   * What `former` learned since is at least as new as the cursor that was said in hello, so it is taken over, but
   * only of users named there: for the others, this connection's cursors will not speak. Whoever has no entry is not
   * waited for either: a resumed snapshot may not name them.
   */
  succeed(former) {
    this.watched = new Set(former.watched);
    const comes = this.cursor === null ? this.watched : former.entries;
    this.#helloAsked = new Set([...this.#helloAsked].filter((userId) => comes.has(userId)));
    this.entries = new Map([...former.entries].filter(([userId]) => this.#helloAsked.has(userId)));
    this.staleSince = former.staleSince;
  }

  /**
   * `watch` is about to be sent with this `id`; without one: it cannot be, and the next hello will ask.
   *
   * Returns those of the users whom nobody asked for yet: what to send, if any.
   */
  watch(userIds, id = null) {
    const wanted = [...new Set(userIds)].filter((userId) => !this.#isAsked(userId));
    for (const userId of wanted) {
      this.watched.add(userId);
      if (id !== null) this.#awaited.set(userId, id);
    }
    return wanted;
  }

  /** `unwatch` was sent, or could not be. */
  unwatch(userIds) {
    for (const userId of userIds) {
      this.watched.delete(userId);
      this.entries.delete(userId);
      this.#awaited.delete(userId);
      this.#helloAsked.delete(userId);
    }
  }

  /** Fold a message. Returns the entries that changed what is shown; messages of other kinds change nothing. */
  receive(message) {
    if (message.type === "welcome") this.#welcomed(message);
    else if (message.type === "snapshot") return this.#foldSnapshot(message);
    else if (message.type === "error") this.#refused(message);
    else if (message.type === "diff") {
      if (!this.#helloOpen) this.cursor = message.cursor ?? this.cursor;
      return merge(
        this.entries,
        message.changes.filter(({ userId }) => this.entries.has(userId)),
      );
    }
    return [];
  }

  /** The connection ended. The entries stay, stale from now on unless they were already. */
  lost(now) {
    this.staleSince ??= now;
    this.#awaited.clear();
    this.#helloOpen = false;
    this.#helloAsked.clear();
  }

  #isAsked(userId) {
    return this.entries.has(userId) || this.#awaited.has(userId) || this.#helloAsked.has(userId);
  }

  #welcomed({ resumed }) {
    this.#isResumed = resumed;
    if (!resumed) this.cursor = null;
    if (this.#helloAsked.size === 0) this.#caughtUp();
  }

  #caughtUp() {
    this.#helloOpen = false;
    this.#helloAsked.clear();
    this.staleSince = null;
  }

  #foldSnapshot(part) {
    let changed;
    if (part.id === undefined && this.#helloOpen) {
      changed = this.#foldHelloPart(part);
      if (!part.more) this.#caughtUp();
    } else {
      changed = this.#foldWatchPart(part);
    }
    if (part.cursor !== undefined && !this.#helloOpen) this.cursor = part.cursor;
    return changed;
  }

  #foldHelloPart({ statuses, more }) {
    const asked = this.#helloAsked;
    const told = statuses.filter(({ userId }) => asked.has(userId));
    if (this.#isResumed) return merge(this.entries, told);
    const changed = replace(this.entries, told);
    for (const { userId } of told) asked.delete(userId);
    return more ? changed : [...changed, ...replace(this.entries, [...asked].map(unknown))];
  }

  #foldWatchPart({ id, statuses, more }) {
    const told = statuses.filter(({ userId }) => {
      const awaited = this.#awaited.get(userId) ?? id;
      return this.watched.has(userId) && awaited === id;
    });
    for (const { userId } of told) this.#awaited.delete(userId);
    const changed = replace(this.entries, told);
    return id === undefined || more ? changed : [...changed, ...replace(this.entries, this.#withdraw(id).map(unknown))];
  }

  /** Stop waiting for what the request was to answer; returns the users in question. */
  #withdraw(id) {
    const users = [...this.#awaited].filter(([, request]) => request === id).map(([userId]) => userId);
    for (const userId of users) this.#awaited.delete(userId);
    return users;
  }

  /** A watch was refused: its users are not watched. Hello's look-up took too long: they are left out. */
  #refused({ id, error }) {
    if (id !== undefined) {
      for (const userId of this.#withdraw(id)) this.watched.delete(userId);
    } else if (this.#helloOpen && (error === "unavailable" || error === "too_many_requests")) {
      for (const userId of this.#helloAsked) this.entries.delete(userId);
      this.#caughtUp();
    }
  }
}

function ascending(userIds) {
  return [...userIds].sort((one, other) => (one < other ? -1 : 1));
}
