/**
 * One device id for each tab, kept across reloads, and never the same in two.
 *
 * It is kept in sessionStorage. *Duplicate tab* and `window.open` copy that, so whoever uses an id holds a lock on
 * it: a Web Lock, or where there is none (pages without HTTPS) a claim over BroadcastChannel. A second holder takes
 * a new id. Where there is neither, or a claim went wrong, two tabs meet at the server: it closes the older connection
 * with 4409, and that tab takes a new id (`renew`). It does not where a login policy ended it (the error `replaced` comes
 * before): as another device it would end the one that has just signed in.
 *
 * Rejected: an id without storage (each reload would be a new device, and the old one in grace beside it), and
 * localStorage (all tabs share it).
 */

import { randomId } from "./surroundings.js";

/**
 * Milliseconds that a lock is waited for: after a reload the page of before may still hold it, on a busy machine for more
 * than half a second. A duplicated tab comes so much later.
 */
const LOCK_WAIT = 2_000;

/** Milliseconds that the other tabs have to say that an id is theirs. */
const CLAIM_WAIT = 300;

/** Ids in use by clients of this page. */
const mine = new Set();

export class DeviceId {
  #userId;
  #env;
  #id = null;
  #release = () => {};
  #isReleased = false;

  /** `env`: `{sessionStorage, locks, BroadcastChannel, setTimeout, clearTimeout, random}`, each of the first three optional. */
  constructor(userId, env) {
    this.#userId = userId;
    this.#env = env;
  }

  /** The id, or a promise of it (null: released meanwhile) where other tabs must be asked. Held until `release`. */
  claim() {
    this.#isReleased = false;
    if (this.#id !== null) return this.#id;
    const stored = this.#read().filter((id) => !mine.has(this.#key(id)));
    return stored.length ? this.#claimOne(stored) : this.renew();
  }

  /** Another id, at once: this one is somebody else's. */
  renew() {
    this.#forget(this.#id);
    const id = randomId(this.#env.random);
    this.#take(id);
    // Nobody else can have it: there is nothing to wait for.
    this.#hold(id, true).then((release) => this.#held(id, release));
    return id;
  }

  /** Let another client of this tab have the id. */
  release() {
    this.#isReleased = true;
    if (this.#id !== null) mine.delete(this.#key(this.#id));
    this.#release();
    this.#release = () => {};
    this.#id = null;
  }

  async #claimOne(stored) {
    for (const id of stored) {
      if (mine.has(this.#key(id))) continue;
      mine.add(this.#key(id));
      const release = await this.#hold(id);
      if (this.#isReleased) {
        mine.delete(this.#key(id));
        release?.();
        return null;
      }
      if (release !== null) {
        this.#take(id);
        this.#held(id, release);
        return id;
      }
      this.#forget(id);
    }
    return this.renew();
  }

  #take(id) {
    this.#id = id;
    mine.add(this.#key(id));
    const kept = this.#read();
    if (!kept.includes(id)) this.#write([...kept, id]);
  }

  #held(id, release) {
    if (release === null) return;
    if (this.#isReleased || this.#id !== id) release();
    else this.#release = release;
  }

  #forget(id) {
    if (id === null) return;
    mine.delete(this.#key(id));
    this.#release();
    this.#release = () => {};
    this.#write(this.#read().filter((each) => each !== id));
  }

  /** A promise of a function that lets go of the id; null if another tab has it. `isNew`: none can. */
  async #hold(id, isNew = false) {
    const { sessionStorage, locks, BroadcastChannel } = this.#env;
    if (!sessionStorage) return () => {}; // nothing is kept, so nothing is copied
    try {
      if (locks) return await hold(locks, this.#key(id), this.#env);
    } catch {
      // Not allowed here, as in a sandboxed frame.
    }
    return BroadcastChannel ? claim(BroadcastChannel, this.#key(id), isNew, this.#env) : () => {};
  }

  #key(id) {
    return `presence-client:${this.#userId}:${id}`;
  }

  /** The ids that this tab has used and not lost, one for each of its clients of this user. */
  #read() {
    try {
      const stored = JSON.parse(this.#env.sessionStorage.getItem(this.#storageKey) ?? "[]");
      return Array.isArray(stored) ? stored.filter((id) => typeof id === "string" && /^[0-9a-f]{32}$/.test(id)) : [];
    } catch {
      return []; // no storage, or not ours to use, or something else is in it
    }
  }

  #write(ids) {
    try {
      this.#env.sessionStorage.setItem(this.#storageKey, JSON.stringify(ids));
    } catch {
      // No storage: a reload is a new device.
    }
  }

  get #storageKey() {
    return `presence-client:${this.#userId}`;
  }
}

/** Hold a Web Lock: a promise of a function that releases it; null if it is not free in time. */
function hold(locks, name, { setTimeout, clearTimeout }) {
  return new Promise((resolve, reject) => {
    const waiting = new AbortController();
    const timer = setTimeout(() => waiting.abort(), LOCK_WAIT);
    locks
      .request(name, { signal: waiting.signal }, () => {
        clearTimeout(timer);
        return new Promise((release) => resolve(release));
      })
      .catch((error) => {
        clearTimeout(timer);
        if (error?.name === "AbortError") resolve(null);
        else reject(error);
      });
  });
}

/**
 * Claim a name over a BroadcastChannel: a promise of a function that lets go of it; null if another tab says it has
 * it. Of two that claim at the same moment, the one with the lesser nonce gets it.
 */
function claim(BroadcastChannel, name, isNew, { setTimeout, random }) {
  return new Promise((resolve) => {
    const channel = new BroadcastChannel(name);
    const nonce = randomId(random);
    let isHeld = isNew;
    const lose = () => {
      channel.close();
      resolve(null);
    };
    channel.onmessage = ({ data }) => {
      if (data?.claim !== undefined && (isHeld || nonce < data.claim)) channel.postMessage({ taken: data.claim });
      else if (data?.claim !== undefined || data?.taken === nonce) lose();
    };
    const win = () => {
      isHeld = true;
      resolve(() => channel.close());
    };
    if (isNew) {
      win();
      return;
    }
    channel.postMessage({ claim: nonce });
    setTimeout(win, CLAIM_WAIT);
  });
}
