/** Values on their way into a message. */

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

/** A Date as the protocol has times: UTC, whole seconds. */
export function wholeSeconds(date) {
  return `${date.toISOString().slice(0, 19)}Z`;
}

/** How a message says that a person is idle since then, or is not. */
export function idleness({ idle, since }, now) {
  if (!idle) return { idle };
  return { idle, idleForMs: Math.min(Math.max(0, Math.round(now - since)), MAX_IDLE_FOR) };
}
