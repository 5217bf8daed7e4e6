/** Values on their way into a message. */

import { formatTime, parseTime } from "./times.js";

/** Longest `deviceId` and `statusText` that the protocol takes, in characters (code points). */
export const MAX_DEVICE_ID = 128;
export const MAX_STATUS_TEXT = 140;

/** Longest `idleForMs` that the protocol takes: a leap year. */
const MAX_IDLE_FOR = 366 * 86_400_000;

/** The ids as a list. Throws RangeError, naming the field, for what JavaScript or the protocol cannot hold. */
export function checkIds(field, userIds) {
  const checked = [...userIds];
  for (const userId of checked) {
    if (!Number.isSafeInteger(userId) || userId < 1) {
      throw new RangeError(`${field}: ${String(userId)} is not a user id (an integer, 1 to 2^53-1)`);
    }
  }
  return checked;
}

/** A device id. Not `crypto.randomUUID()`, which pages without HTTPS do not have. */
export function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A time, given as a Date (rounded up to whole seconds) or in words, for a message. Throws RangeError. */
export function timeOf(field, time) {
  if (time instanceof Date) {
    if (Number.isNaN(time.getTime())) throw new RangeError(`${field}: not a valid Date`);
    return formatTime(Math.ceil(time.getTime() / 1000));
  }
  if (typeof time !== "string" || parseTime(time) === null) {
    throw new RangeError(`${field}: must be a Date, or a time like 2025-11-09T15:00:00Z or 2025-11-09T23:00:00+08:00`);
  }
  return time;
}

/** How a message says that a person is idle since then, or is not. */
export function idleness({ idle, since }, now) {
  if (!idle) return { idle };
  return { idle, idleForMs: Math.min(Math.max(0, Math.round(now - since)), MAX_IDLE_FOR) };
}
