/** Types of the browser SDK; what each part does is said in presence.js. */

export type Status = "ONLINE" | "AWAY" | "BUSY" | "OFFLINE";
export type Platform = "WEB" | "IOS" | "ANDROID" | "PC";
export type State = "connecting" | "online" | "waiting" | "closed";

/** The public state of one user at one version. */
export interface Entry {
  readonly userId: number;
  readonly status: Status;
  /** The distinct platforms of the user's live devices; none when OFFLINE. */
  readonly platforms: readonly Platform[];
  /** UTC, whole seconds, such as "2025-11-09T15:00:00Z"; null when never known. */
  readonly lastActiveTime: string | null;
  /** Grows with each change; 0 for a user the server does not know. */
  readonly version: number;
  readonly statusText?: string;
}

export interface Change {
  readonly userId: number;
  readonly before: Entry | undefined;
  readonly after: Entry;
}

export interface Override {
  readonly status: Status;
  readonly until?: string;
  readonly statusText?: string;
}

export interface Device {
  readonly deviceId: string;
  readonly platform: Platform;
  readonly onlineTime: string;
  readonly idle: boolean;
}

/** A user's own truth: `status` is OFFLINE while invisible. */
export interface Self {
  readonly userId: number;
  readonly status: Status;
  readonly override: Override | null;
  readonly devices: readonly Device[];
}

/** What the server holds the client to; times are milliseconds. */
export interface Limits {
  readonly pingInterval: number;
  readonly pongTimeout: number;
  readonly maxWatched: number;
  readonly maxMessage: number;
  readonly maxBatch: number;
}

export interface Welcome {
  readonly sessionId: string;
  readonly serverTime: string;
  /** The device's session goes on, as after a short loss of the connection. */
  readonly continued: boolean;
  /** The cursor was covered: only what changed comes. */
  readonly resumed: boolean;
  readonly self: Self | null;
  readonly limits: Limits;
}

/** A read-only Map of userId to entry. */
export interface View extends Iterable<[number, Entry]> {
  /** Nobody tells us changes at the moment. */
  readonly stale: boolean;
  /** Since when (milliseconds, as `Date.now()`); null while fresh, and if it never was. */
  readonly staleSince: number | null;
  readonly size: number;
  get(userId: number): Entry | undefined;
  has(userId: number): boolean;
  keys(): IterableIterator<number>;
  values(): IterableIterator<Entry>;
  entries(): IterableIterator<[number, Entry]>;
  forEach(visit: (entry: Entry, userId: number, view: View) => void, thisArg?: unknown): void;
}

export interface Options {
  url: string;
  /** Left out: an observer, who only watches. */
  userId?: number;
  /** One per tab, kept across reloads; a random one if left out. */
  deviceId?: string;
  platform?: Platform;
  /** A function is asked before each connection, and once more when the server refuses what it gave. */
  token?: string | (() => string | Promise<string>);
  watch?: Iterable<number>;
  /** Set unless the session continues; never set again. */
  status?: Status;
  /** Milliseconds: the ceiling of the first wait, and the greatest. */
  backoff?: { base?: number; cap?: number };

  /** For tests. */
  WebSocket?: new (url: string, protocols: string[]) => Pick<
    WebSocket,
    "onopen" | "onmessage" | "onclose" | "onerror" | "send" | "close"
  >;
  timers?: { setTimeout(callback: () => void, delay: number): unknown; clearTimeout(timer: unknown): void };
  random?: () => number;
  now?: () => number;
}

export interface EventDetails {
  state: {
    state: State;
    /** While waiting: when the next try is (milliseconds, as `Date.now()`). */
    nextTryAt: number | null;
    /** Of "waiting" and "closed". */
    code?: number;
    reason?: string;
    /** Of "online". */
    continued?: boolean;
    resumed?: boolean;
  };
  stale: { stale: boolean; since: number | null };
  change: { changes: Change[] };
  self: Self;
  error: { error: string; code: number | null; message: string; userIds?: number[] };
  frame: { direction: "in" | "out"; text: string; time: number };
}

export class PresenceError extends Error {
  /** A stable English code: the server's, or "disconnected", "not_online", "closed". */
  readonly error: string;
  /** As HTTP has it, for a server's answer. */
  readonly code: number | null;
  readonly details: readonly { field: string; reason: string }[];
}

export class PresenceClient extends EventTarget {
  constructor(options: Options);
  readonly state: State;
  readonly nextTryAt: number | null;
  readonly closeCode: number | null;
  readonly closeReason: string;
  readonly userId: number | null;
  readonly deviceId: string | null;
  readonly self: Self | null;
  readonly welcome: Welcome | null;
  readonly view: View;
  readonly watched: number[];

  connect(): Promise<Welcome>;
  reconnectNow(): void;
  bye(): void;
  watch(userIds: Iterable<number>): Promise<void>;
  unwatch(userIds: Iterable<number>): Promise<void>;
  setStatus(status: Status | null, options?: { until?: Date | string; statusText?: string }): Promise<void>;
  activity(idle: boolean, options?: { idleForMs?: number }): Promise<void>;
  query(userIds: Iterable<number>): Promise<Entry[]>;

  addEventListener<K extends keyof EventDetails>(
    type: K,
    listener: (event: CustomEvent<EventDetails[K]>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof EventDetails>(
    type: K,
    listener: (event: CustomEvent<EventDetails[K]>) => void,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

/** Make a client and connect it at once. */
export function connect(options: Options): PresenceClient;

/** The view after a full snapshot, which replaces. `view` is left as it was. */
export function applySnapshot(view: Iterable<[number, Entry]>, statuses: Iterable<Entry>): Map<number, Entry>;

/** The view after a diff or a resumed snapshot: the greater version stays. `view` is left as it was. */
export function applyDiff(view: Iterable<[number, Entry]>, changes: Iterable<Entry>): Map<number, Entry>;

/** What to do after a close code. */
export function advice(code: number): "reconnect" | "renew" | "stop";

/** Milliseconds to wait before try number `attempt` (0, 1, ...). */
export function backoff(attempt: number, random: () => number, options?: { base?: number; cap?: number }): number;
