/** What callers pass in, checked and turned into what goes over the wire. */

import { checkText, isStatusEmoji } from "./text.js";
import { formatTime, parseTime } from "./times.js";

export const STATUSES = ["ONLINE", "AWAY", "BUSY", "OFFLINE"];
/** Any name that some server may take: each has a list of its own. */
const PLATFORM = /^[A-Z][A-Z0-9_]{0,23}$/;

/** Longest `idleForMs`, and longest that a status may last: a leap year, in milliseconds. */
const MAX_DURATION = 366 * 86_400_000;

/** Controls, surrogates and line separators. */
const UNFIT = /[\p{Cc}\p{Cs}\u2028\u2029]/u;

const MAX_DEVICE_ID = 128;
const MAX_STATUS_TEXT = 140;

/** The ids as a list; one id alone is taken, too. Throws RangeError, naming the field, for what is no user id. */
export function checkIds(field, userIds, kind = "number") {
  const isOne = ["number", "bigint"].includes(typeof userIds) || (typeof userIds === "string" && kind !== "number");
  return (isOne ? [userIds] : [...userIds]).map((userId) => checkId(field, userId, kind));
}

export const KINDS = ["number", "int64", "string"];

const MAX_LETTERS = 64;

/** The id as messages hold it: of `int64` its digits in a string. Throws RangeError, naming the field, for what is none. */
export function checkId(field, userId, kind = "number") {
  const reason = { number: noNumber, int64: noInt64, string: noString }[kind](userId);
  if (reason !== null) throw new RangeError(`${field}: ${String(userId)} is not a user id (${reason})`);
  return kind === "int64" ? String(userId) : userId;
}

function noNumber(userId) {
  return Number.isSafeInteger(userId) && userId >= 1 ? null : "an integer, 1 to 2^53-1";
}

function noInt64(userId) {
  const reason = "1 to 2^63-1, as its digits in a string, a bigint, or a number up to 2^53-1";
  if (typeof userId === "number") return Number.isSafeInteger(userId) && userId >= 1 ? null : reason;
  const digits = typeof userId === "bigint" ? String(userId) : userId;
  if (typeof digits !== "string" || !/^[1-9][0-9]{0,18}$/.test(digits)) return reason;
  return BigInt(digits) < 2n ** 63n ? null : reason;
}

function noString(userId) {
  if (typeof userId !== "string") return `a string of 1 to ${MAX_LETTERS} characters`;
  if (userId.includes("/")) return "without a slash";
  try {
    checkText("a string", userId, 1, MAX_LETTERS);
    return null;
  } catch (failure) {
    return failure.message;
  }
}

export function oneOf(field, value, choices) {
  if (!choices.includes(value)) throw new RangeError(`${field} must be one of ${choices.join(", ")}`);
}

export function checkPlatform(platform) {
  if (typeof platform === "string" && PLATFORM.test(platform)) return;
  throw new RangeError("platform must be a name of 1 to 24 capital letters, digits and underscores, such as WEB");
}

export function checkDeviceId(deviceId) {
  return checkText("deviceId", deviceId, 1, MAX_DEVICE_ID);
}

export function checkStatusText(statusText) {
  return checkText("statusText", statusText, 0, MAX_STATUS_TEXT);
}

export function checkStatusEmoji(statusEmoji) {
  if (typeof statusEmoji !== "string" || !isStatusEmoji(statusEmoji)) {
    throw new RangeError("statusEmoji: must be one emoji of at most 32 bytes, or a short code like :palm_tree:");
  }
  return statusEmoji;
}

/** A duration in milliseconds, or null if none is given. Throws RangeError. */
export function checkLasting(field, duration) {
  return duration === undefined || duration === null ? null : checkDuration(field, duration);
}

/** The `status` message that says this: undefined is left out, null stays. Throws RangeError, naming the field. */
export function statusMessage(said) {
  const rules = {
    status: (status) => (oneOf("status", status, STATUSES), status),
    until: (until) => timeOf("until", until),
    statusText: checkStatusText,
    statusEmoji: checkStatusEmoji,
    textUntil: (until) => timeOf("textUntil", until),
  };
  const message = { type: "status" };
  for (const [field, rule] of Object.entries(rules)) {
    const value = said[field];
    if (value !== undefined) message[field] = value === null ? null : rule(value);
  }
  return message;
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

/** Throws RangeError, naming the field, for a duration (milliseconds) that the protocol does not take. */
export function checkDuration(field, milliseconds) {
  if (typeof milliseconds !== "number" || !(milliseconds >= 0 && milliseconds <= MAX_DURATION)) {
    throw new RangeError(`${field}: must be from 0 to ${MAX_DURATION} milliseconds`);
  }
  return milliseconds;
}

/** How a message says that a person is idle since then or not, and busy: of `{idle, since, busy}`, or null for nothing. */
export function idleness(said, now) {
  if (said === null) return {};
  const busy = (said.busy ?? null) === null ? {} : { busy: said.busy };
  if (!said.idle) return { idle: false, ...busy };
  const idleForMs = Math.min(Math.max(0, Math.round(now - said.since)), MAX_DURATION);
  return { idle: true, idleForMs, ...busy };
}

/**
 * A token as it is sent: without the white space around it that comes with files and variables.
 *
 * Throws RangeError or TypeError for what cannot go into a header, as gateways have it. The error never says what it was.
 */
export function tokenOf(token) {
  if (typeof token !== "string") throw new TypeError(`token: must be a string, not ${typeof token}`);
  const stripped = token.trim(); // the byte order mark, too
  if (stripped === "") throw new RangeError("token: is empty");
  const index = [...stripped].findIndex((character) => UNFIT.test(character));
  if (index === -1) return stripped;
  const point = [...stripped][index].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
  throw new RangeError(`token: cannot go into a header: character ${index + 1} is U+${point}`);
}
