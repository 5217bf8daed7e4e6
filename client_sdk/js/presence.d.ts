/**
 * Types of the browser SDK; what each part does is said in client.js and errors.js.
 *
 * They hold without lib DOM, as in React Native and mini programs: what a browser has is asked for by its shape.
 */

/** Of the kind `int64` a string of its digits, which a number would round. */
export type UserId = number | string;

export type Status = "ONLINE" | "AWAY" | "BUSY" | "OFFLINE";
export type Platform = "WEB" | "IOS" | "ANDROID" | "PC" | (string & {});
/** By days of UTC: today, in the 6 days before, in the 29 days before, earlier. */
export type LastSeen = "today" | "this_week" | "this_month" | "earlier";
export type State = "connecting" | "online" | "waiting" | "closed";

/** The public state of one user at one version. */
export interface Entry {
  readonly userId: UserId;
  readonly status: Status;
  /** The distinct platforms of the user's live devices; none when OFFLINE. */
  readonly platforms: readonly Platform[];
  /** The status on each platform, where the server tells it; never when OFFLINE. */
  readonly platformStatus?: Readonly<Record<string, Status>>;
  /** UTC, whole seconds, such as "2025-11-09T15:00:00Z"; null when never known. */
  readonly lastActiveTime: string | null;
  /** Grows with each change; 0 for a user the server does not know. */
  readonly version: number;
  /** Shown whatever the status is, also when OFFLINE; so is the emoji. */
  readonly statusText?: string;
  readonly statusEmoji?: string;
  /** Since when all devices are idle, where the server tells it. */
  readonly idleSince?: string;
  /** Roughly when, instead of `lastActiveTime`, where you may see no more than the status. */
  readonly lastSeen?: LastSeen;
}

/** A watched user looks different. `before`: as last told, undefined the first time. */
export interface Change {
  readonly userId: UserId;
  readonly before: Entry | undefined;
  readonly after: Entry;
}

export interface Override {
  readonly status: Status;
  /** Also where nobody asked for an end: what a person forgets ends by itself. */
  readonly until?: string;
}

/** What decides what others see: `devices`, `self`, or another source of claims; and until when. */
export interface Deciding {
  readonly source: string;
  readonly id?: string;
  readonly until?: string;
  readonly statusText?: string;
  readonly statusEmoji?: string;
}

export interface Device {
  readonly deviceId: string;
  readonly platform: Platform;
  readonly onlineTime: string;
  readonly idle: boolean;
  readonly busy?: boolean;
}

/** A user's own truth: `status` is what others see; `override` and the text are the user's own word. */
export interface Self {
  readonly userId: UserId;
  readonly status: Status;
  readonly override: Override | null;
  readonly devices: readonly Device[];
  readonly statusText?: string;
  readonly statusEmoji?: string;
  readonly textUntil?: string;
  readonly statusBy?: Deciding;
  readonly textBy?: Deciding;
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
export interface View extends Iterable<[UserId, Entry]> {
  /** Nobody tells us changes at the moment. */
  readonly stale: boolean;
  /** Since when (milliseconds, as `Date.now()`); null while fresh, and if it never was. */
  readonly staleSince: number | null;
  readonly size: number;
  get(userId: UserId): Entry | undefined;
  has(userId: UserId): boolean;
  keys(): IterableIterator<UserId>;
  values(): IterableIterator<Entry>;
  entries(): IterableIterator<[UserId, Entry]>;
  forEach(visit: (entry: Entry, userId: UserId, view: View) => void, thisArg?: unknown): void;
}

/** What the SDK needs of an AbortSignal. */
export interface Signal {
  readonly aborted: boolean;
  readonly reason?: any;
  addEventListener(type: "abort", listener: () => void, options?: any): void;
  removeEventListener(type: "abort", listener: () => void, options?: any): void;
}

/** What the SDK needs of a WebSocket. It sets the four handlers. */
export interface Socket {
  onopen: ((event: any) => any) | null;
  onmessage: ((event: any) => any) | null;
  onclose: ((event: any) => any) | null;
  onerror: ((event: any) => any) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

/** Why there is no connection, for a person: by the close code. */
export type Problem =
  | "signed_out"
  | "forbidden"
  | "replaced"
  | "ended"
  | "too_many_devices"
  | "unavailable"
  | "too_fast";

export type Token = string | SignedOut | null | undefined;

export interface Options {
  /** `https://example.org`, or `http`, `ws`, `wss`; a path before `/api/v1/presence` is kept, one after it not needed. */
  url: string;
  /** Left out: an observer, who only watches. */
  userId?: UserId | bigint;
  /** The kind of user ids that the server speaks; "number" unless it says otherwise. */
  userIds?: "number" | "int64" | "string";
  /** Left out: the SDK keeps one for each tab, across reloads, and never the same in two. */
  deviceId?: string;
  platform?: Platform;
  /**
   * A function is asked before each connection, before the token of the one there is ends, and once more when the server
   * refuses what it gave. If it throws, it
   * is asked again after the backoff; null or SignedOut, given or thrown, ends the client.
   */
  token?: string | (() => Token | Promise<Token>);
  /**
   * True: the token goes into no hello. The SDK asks the server for a one-time ticket with it, which goes into the URL.
   */
  ticket?: boolean;
  /** What asks for a ticket, where there is no `fetch` or in place of it. */
  fetch?: (url: string, options: any) => Promise<any>;
  watch?: Iterable<UserId | bigint>;
  /** Set unless the session continues; never set again. */
  status?: Status;
  /** Milliseconds: the ceiling of the first wait, and the greatest. */
  backoff?: { base?: number; cap?: number };
  /** Milliseconds that a call waits, for a connection and for its reply: 10,000 unless the call says otherwise. */
  timeout?: number;
  /** Milliseconds that `connect()` waits: 10,000 unless the call says otherwise. */
  openTimeout?: number;
  /** Where there is none, or in place of it. */
  WebSocket?: new (url: string, protocols: string[]) => Socket;
  /**
   * Called with a function to call when the app or the network comes back; returns one that ends it. In a browser:
   * `online`, `pageshow` and `visibilitychange`.
   */
  wakeups?: (wake: () => void) => () => void;

  /** For tests. `now` only goes forward; `date` is `Date.now`. */
  timers?: { setTimeout(callback: () => void, delay: number): any; clearTimeout(timer: any): void };
  random?: () => number;
  now?: () => number;
  date?: () => number;
}

/** `timeout` in milliseconds. Aborting ends the waiting; what was not sent by then never will be. */
export interface CallOptions {
  timeout?: number;
  signal?: Signal;
}

export interface EventDetails {
  state: {
    state: State;
    /** While waiting: when the next try is (milliseconds, as `Date.now()`). */
    nextTryAt: number | null;
    /** Of "waiting" and "closed": how the connection ended; of "connecting", why there is none yet. */
    code?: number;
    reason?: string;
    problem?: Problem;
    /** Of "online". */
    continued?: boolean;
    resumed?: boolean;
  };
  stale: { stale: boolean; since: number | null };
  change: { changes: Change[] };
  self: Self;
  error: { error: string; code: number; message: string; userIds?: UserId[] };
  /** What went over the wire; the token is masked. */
  frame: { direction: "in" | "out"; text: string; time: number };
}

/** An event of a client: a plain object. */
export interface PresenceEvent<K extends keyof EventDetails> {
  readonly type: K;
  readonly detail: EventDetails[K];
  readonly target: PresenceClient;
  readonly currentTarget: PresenceClient;
}

export type Listener<K extends keyof EventDetails> =
  | ((event: PresenceEvent<K>) => void)
  | { handleEvent(event: PresenceEvent<K>): void };

export class PresenceError extends Error {
  /** A stable English code: the server's, or "not_online", "timeout", "disconnected", "closed", "too_large". */
  readonly error: string;
  /** As HTTP has it, for a server's answer. */
  readonly code: number | null;
  readonly details: readonly { field: string; reason: string }[];
}

/** `error` is "not_online": there was no connection. `status`: the HTTP status of a refusal, where it can be had. */
export class NotConnected extends PresenceError {
  readonly reason: string;
  readonly status: number | null;
}

/** `error` is "timeout": sent, and no reply in time. */
export class RequestTimedOut extends PresenceError {}

/** `error` is "disconnected" (the client comes back) or "closed" (it does not). */
export class ConnectionClosed extends PresenceError {
  readonly closeCode: number;
  readonly reason: string;
  readonly advice: "reconnect" | "renew" | "stop";
  /** True: the request was sent, and may have been carried out. False: it was not sent. */
  readonly wasSent: boolean;
}

/** The server answered with an error, and did nothing. */
export class RequestFailed extends PresenceError {
  /** Milliseconds to wait at least before it is asked again, or null. */
  readonly retryAfter: number | null;
}

/** For token functions: the person is signed out, so the client stops. */
export class SignedOut extends Error {
  constructor(message?: string);
}

export class PresenceClient {
  constructor(options: Options);
  readonly state: State;
  readonly nextTryAt: number | null;
  readonly closeCode: number | null;
  /** Why there is no connection, such as "forbidden" or, while it waits to come back, "too_fast"; null while online. */
  readonly problem: Problem | null;
  readonly closeReason: string;
  readonly userId: UserId | null;
  /** Null for an observer, and until the SDK has found one that no other tab uses. */
  readonly deviceId: string | null;
  readonly self: Self | null;
  readonly welcome: Welcome | null;
  readonly view: View;
  readonly watched: UserId[];

  /** Rejects with NotConnected or ConnectionClosed; if `signal` is aborted first, the client is closed. */
  connect(options?: CallOptions): Promise<Welcome>;
  reconnectNow(): void;
  /** The client is closed at once; what was sent before is still answered, for 5 s at most. */
  bye(): void;
  watch(userIds: Iterable<UserId | bigint> | UserId | bigint, options?: CallOptions): Promise<void>;
  unwatch(userIds: Iterable<UserId | bigint> | UserId | bigint, options?: CallOptions): Promise<void>;
  /**
   * Say what the user is. What is undefined stays as it is, null clears it. `until` is a time; `forMs`, in its place, a
   * duration from now, in milliseconds, by the server's clock. After it what was said before holds again, if that lasts
   * longer. The text and the emoji end at `textUntil`, or `textForMs` from now.
   */
  setStatus(
    status: Status | null | undefined,
    options?: CallOptions & {
      until?: Date | string | null;
      forMs?: number | null;
      statusText?: string | null;
      statusEmoji?: string | null;
      textUntil?: Date | string | null;
      textForMs?: number | null;
    },
  ): Promise<void>;
  activity(idle: boolean, options?: CallOptions & { idleForMs?: number; busy?: boolean }): Promise<void>;
  query(userIds: Iterable<UserId | bigint> | UserId | bigint, options?: CallOptions): Promise<Entry[]>;

  addEventListener<K extends keyof EventDetails>(
    type: K,
    listener: Listener<K>,
    options?: boolean | { once?: boolean; signal?: Signal },
  ): void;
  removeEventListener<K extends keyof EventDetails>(type: K, listener: Listener<K>): void;
}

/** Make a client and connect it at once. */
export function connect(options: Options): PresenceClient;

/** The view after a full snapshot, which replaces. `view` is left as it was. */
export function applySnapshot(view: Iterable<[UserId, Entry]>, statuses: Iterable<Entry>): Map<UserId, Entry>;

/** The view after a diff or a resumed snapshot: the greater version stays. `view` is left as it was. */
export function applyDiff(view: Iterable<[UserId, Entry]>, changes: Iterable<Entry>): Map<UserId, Entry>;

/** What to do after a close code. */
export function advice(code: number): "reconnect" | "renew" | "stop";
/** What an application can tell its user of a connection that ended with this code; null: only that it is gone. */
export function problemOf(code: number): Problem | null;

/** Milliseconds to wait before try number `attempt` (0, 1, ...). */
export function backoff(attempt: number, random: () => number, options?: { base?: number; cap?: number }): number;
