/**
 * One connection, as the client sees it: what was asked on it and not answered yet, and whether it is alive.
 *
 * It decides nothing about others: which connection is the client's, and whether there is a next one, is the core's.
 * Pure: time comes in as an argument, in milliseconds of any clock that only goes forward.
 */

/** Milliseconds that a token is waited for. */
const TOKEN_TIMEOUT = 30_000;

/** Milliseconds from the wish to connect to the welcome: TCP, TLS, upgrade and a look-up of whom hello watches. */
const WELCOME_TIMEOUT = 15_000;

/** Milliseconds that a connection which was replaced, or was told bye, may take for the replies that it still owes. */
const RETIRE_TIMEOUT = 5_000;

/** Milliseconds beyond `pingInterval` before the client asks. */
const PING_SLACK = 1_000;

/**
 * A timer that is later than this (milliseconds) tells of a paused machine, whose sockets have yet to be read. It is
 * believed once: the timers of a hidden page are always late, by up to a minute.
 */
const STALL = 1_000;

/** Scripts see no WebSocket pings. Asked at most this often (milliseconds) because the page woke up. */
const PROBE_INTERVAL = 1_000;

/** Where the session is: see docs/protocol.md, "The session". */
export const State = Object.freeze({ OPEN: "OPEN", GREETED: "GREETED", LIVE: "LIVE", CLOSING: "CLOSING" });

/** What no server may send before its welcome. Types that this client does not know are let pass. */
const AFTER_WELCOME = new Set(["diff", "expiring", "ok", "pong", "reconnect", "self", "snapshot", "statuses"]);

export const Verdict = Object.freeze({ FINE: "fine", ASK: "ask", TOO_LATE: "too late" });

/** A connection, numbered by the core. `view` is null until hello; `helloIds` are whom hello watched. */
export class Conversation {
  state = State.OPEN;
  view = null;
  helloIds = [];
  /** What hello said of idleness, `{idle, since}` or null; `told` are the tickets of those who wait for it to be said. */
  saidIdle = null;
  told = new Set();
  welcome = null;
  welcomedAt = 0;
  hasToken = false;
  isRetiring = false;
  isLeaving = false;
  isToMove = false;
  /** Milliseconds after which to come back, as the server's last message said; null: it was no refusal. */
  retryAfter = null;
  /** Another device of the user took over: a new device id would only drive that one out. */
  isOusted = false;
  /** A new token is on its way, since the one there is ends soon. */
  isRenewing = false;
  /** By id: `{tickets, message}`, who waits for the reply, and what was sent. */
  asked = new Map();
  /** What the parts of an answer to a query say so far, by its id. */
  #told = new Map();

  #lastId = 0;
  #heardAt;
  #pings = 0; // since anything was heard

  constructor(number, now) {
    this.number = number;
    this.begunAt = now;
    this.#heardAt = now;
    /** When its timer is to be looked at: see `check`. */
    this.due = now + TOKEN_TIMEOUT;
  }

  get isLive() {
    return this.state === State.LIVE;
  }

  /** Whether hello went by, so that the server may know this device by it. */
  get isGreeted() {
    return this.state === State.GREETED || this.state === State.LIVE;
  }

  /** The token is there: from now on the peer is waited for. */
  connecting(now) {
    this.hasToken = true;
    this.due = now + WELCOME_TIMEOUT;
  }

  /** Account for `message`, and give it back. */
  send(message) {
    if (message.type === "hello") this.state = State.GREETED;
    else if (message.type === "bye") this.state = State.CLOSING;
    return message;
  }

  /** Give `message` the next id, and remember who waits for its reply. */
  ask(message, ...tickets) {
    const sent = { ...message, id: this.nextId };
    this.#lastId = sent.id;
    this.asked.set(sent.id, { tickets, message: sent });
    return this.send(sent);
  }

  /** The id of the next request: 1, 2, ... on each connection. */
  get nextId() {
    return this.#lastId + 1;
  }

  /** Nobody waits for this ticket any more. Returns whether a reply to it was awaited here. */
  forget(ticket) {
    const holding = [...this.asked.values()].filter(({ tickets }) => tickets.includes(ticket));
    for (const asked of holding) asked.tickets = asked.tickets.filter((each) => each !== ticket);
    return holding.length > 0;
  }

  /** What the server's clock says at `time`, in milliseconds since 1970. */
  epochAt(time) {
    return Date.parse(this.welcome.serverTime) + time - this.welcomedAt;
  }

  /** Something came. */
  heard(now) {
    this.#heardAt = now;
    if (this.welcome === null || this.isRetiring) return;
    this.#pings = 0;
    this.due = now + this.welcome.limits.pingInterval + PING_SLACK;
  }

  /**
   * Account for what came. Returns the request that it answers, if it completes one, else null; `false` if the server
   * does not keep to the protocol.
   */
  receive(message, now) {
    if (message.type === "welcome") {
      if (this.state !== State.GREETED) return false;
      this.state = State.LIVE;
      this.welcome = message;
      this.welcomedAt = now;
    } else if (AFTER_WELCOME.has(message.type) && !this.isLive && this.state !== State.CLOSING) {
      return false;
    }
    this.isOusted = message.type === "error" && message.error === "replaced";
    this.retryAfter = message.type === "error" ? (message.retryAfterMs ?? null) : null;
    this.heard(now);
    if (message.id === undefined || (message.type === "snapshot" && message.more)) return null;
    const asked = this.asked.get(message.id) ?? null;
    const told = this.#told.get(message.id) ?? [];
    this.#told.delete(message.id);
    if (message.type === "statuses" && asked) {
      // An answer in parts counts as one: the last has what all of them say.
      message.statuses = [...told, ...message.statuses];
      if (message.more) {
        this.#told.set(message.id, message.statuses);
        return null;
      }
    }
    this.asked.delete(message.id);
    return asked;
  }

  /** Another connection took over. Watches that this one was asked are the other's from now on. */
  retire(now) {
    this.isRetiring = true;
    for (const [id, { message }] of this.asked) if (message.type === "watch") this.asked.delete(id);
    this.due = now + RETIRE_TIMEOUT;
  }

  /** The client leaves. Returns whether somebody still waits for a reply; watches end with the client. */
  leave(now) {
    for (const [id, { tickets, message }] of this.asked) {
      if (tickets.length === 0 || message.type === "watch") this.asked.delete(id);
    }
    this.isRetiring = this.isLeaving = true;
    this.due = now + RETIRE_TIMEOUT;
    return this.asked.size > 0;
  }

  /** Look at the timer. `ASK` counts as asked: the timer then waits for the answer. */
  check(now) {
    const late = now - this.due;
    if (late < 0) return Verdict.FINE;
    if (this.welcome === null || this.isRetiring) return Verdict.TOO_LATE;
    if (this.#pings && (late < STALL || this.#pings > 1)) return Verdict.TOO_LATE;
    return this.#askNow(now);
  }

  /** The page woke up, and the link may be dead: ask at once, unless something was just heard or asked. */
  probe(now) {
    if (!this.isLive || this.#pings || now - this.#heardAt < PROBE_INTERVAL) return Verdict.FINE;
    return this.#askNow(now);
  }

  #askNow(now) {
    this.#pings++;
    this.due = now + this.welcome.limits.pongTimeout;
    return Verdict.ASK;
  }

  /** Whatever will not be answered any more. */
  takeAsked() {
    const asked = [...this.asked.values()];
    this.asked.clear();
    return asked;
  }
}
