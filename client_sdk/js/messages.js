/** Messages of a server as they arrive: what is not one, and so must not reach the core. Pure. */

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isEntry = (value) =>
  isObject(value) &&
  (Number.isSafeInteger(value.userId) || typeof value.userId === "string") &&
  Number.isSafeInteger(value.version) &&
  typeof value.status === "string" &&
  Array.isArray(value.platforms);
const areEntries = (value) => Array.isArray(value) && value.every(isEntry);
const isDuration = (value) => Number.isFinite(value) && value >= 0;
const isOwn = (value) => isObject(value) && typeof value.status === "string" && Array.isArray(value.devices);

/** What the client relies on; everything else is handed on as it came. */
const RULES = new Map([
  [
    "welcome",
    ({ serverTime, self, limits }) =>
      !Number.isNaN(Date.parse(serverTime)) &&
      (self === null || self === undefined || isOwn(self)) &&
      isObject(limits) &&
      isDuration(limits.pingInterval) &&
      isDuration(limits.pongTimeout) &&
      isDuration(limits.maxMessage),
  ],
  ["snapshot", ({ statuses }) => areEntries(statuses)],
  ["statuses", ({ statuses }) => areEntries(statuses)],
  ["diff", ({ changes }) => areEntries(changes)],
  ["self", isOwn],
  ["error", ({ code, error }) => Number.isInteger(code) && typeof error === "string"],
  ["reconnect", ({ afterMs }) => Number.isFinite(afterMs)],
  ["expiring", ({ inMs }) => isDuration(inMs)],
]);

/** The message in a frame, or null if it is none. `null` in an optional field is the same as leaving it out. */
export function decode(data) {
  let message;
  try {
    message = JSON.parse(data);
  } catch {
    return null;
  }
  if (!isObject(message) || typeof message.type !== "string") return null;
  if (RULES.get(message.type)?.(message) === false) return null;
  leaveOut(message, ["id", "more", "cursor", "details"]);
  const own = message.type === "welcome" ? message.self : message;
  leaveOut(own?.override, ["until"]);
  leaveOut(own, ["statusText", "statusEmoji", "textUntil", "statusBy", "textBy"]);
  for (const list of [message.statuses, message.changes]) {
    const optional = ["statusText", "statusEmoji", "idleSince", "platformStatus", "lastSeen"];
    if (Array.isArray(list)) for (const entry of list) leaveOut(entry, optional);
  }
  return message;
}

function leaveOut(object, names) {
  for (const name of names) if (object?.[name] === null) delete object[name];
}

/** A frame as it may be shown in a log: without the token. */
export function shown(message) {
  return JSON.stringify("token" in message ? { ...message, token: "***" } : message);
}
