/** Types of `presence-client/webhooks`; what each part does is said in webhooks.js. */

/** The device that caused a change. */
export interface FeedDevice {
  readonly deviceId: string;
  readonly platform: string;
}

/** What a user is at one version, and why. */
export interface FeedEntry {
  /** Of the kind `int64` a string of its digits. */
  readonly userId: number | string;
  readonly status: "ONLINE" | "AWAY" | "BUSY" | "OFFLINE";
  readonly platforms: readonly string[];
  /** Of two entries of one user, the greater is the later. */
  readonly version: number;
  /** A stable code, such as "connected"; take one that you do not know for any other. */
  readonly cause: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly statusText?: string;
  readonly statusEmoji?: string;
  readonly device?: FeedDevice;
  /** For all others the user is OFFLINE, by their own word: told to webhooks with the scope `admin` only. */
  readonly invisible?: true;
}

export interface PresenceChanges {
  readonly type: "presence.changes";
  /** The same when the same event comes again. */
  readonly id: string;
  readonly timestamp: Date;
  readonly changes: readonly FeedEntry[];
  readonly cursor: string;
  /** What was held is void; everybody who is present follows, in this event and the next ones. */
  readonly gap: boolean;
}

/** An event of a type that this version does not know: answer 2xx, and let it pass. */
export interface UnknownEvent {
  readonly type: string & {};
  readonly id: string;
  readonly timestamp: Date;
  readonly data: unknown;
}

export type PresenceEvent = PresenceChanges | UnknownEvent;

/** Whether it is an event that tells of changes. */
export function isChanges(event: PresenceEvent): event is PresenceChanges;

/** Not to be believed, or no event: answer 400. */
export class WebhookRefused extends Error {
  readonly reason: string;
}

/** What the receiver needs of headers. */
export type WebhookHeaders =
  | { readonly [name: string]: string | readonly string[] | undefined }
  | { get(name: string): string | null | undefined };

export class WebhookReceiver {
  constructor(secrets: string | readonly string[], options?: { now?: () => number });
  verify(body: string | ArrayBuffer | ArrayBufferView, headers: WebhookHeaders): Promise<PresenceEvent>;
}
