/**
 * Why a connection ended, and what its client should do about it.
 *
 * The code's range says it: 4400-4499 do not come back unchanged; 4500-4599 come back with backoff, and so do 1001,
 * 1005, 1006, 1011-1013 and what only the client's own side makes (1006, 1014, 1015). 4401 is worth one try with a
 * new token.
 */

export const CloseCode = Object.freeze({
  NORMAL: 1000,
  GOING_AWAY: 1001,
  NO_STATUS: 1005,
  ABNORMAL: 1006,
  INVALID_PAYLOAD: 1007,
  TOO_BIG: 1009,
  INTERNAL_ERROR: 1011,
  SERVICE_RESTART: 1012,
  MALFORMED: 4400,
  UNAUTHENTICATED: 4401,
  FORBIDDEN: 4403,
  REPLACED: 4409,
  ENDED: 4410,
  TOO_MANY_DEVICES: 4411,
  TOO_LARGE: 4413,
  UNAVAILABLE: 4503,
  HELLO_TIMEOUT: 4504,
  TOO_SLOW: 4508,
  TOO_FAST: 4529,
});

const TRANSPORT = new Set([1001, 1005, 1006, 1011, 1012, 1013, 1014, 1015]);

const PROBLEMS = new Map([
  [CloseCode.UNAUTHENTICATED, "signed_out"],
  [CloseCode.FORBIDDEN, "forbidden"],
  [CloseCode.REPLACED, "replaced"],
  [CloseCode.ENDED, "ended"],
  [CloseCode.TOO_MANY_DEVICES, "too_many_devices"],
  [CloseCode.UNAVAILABLE, "unavailable"],
  [CloseCode.TOO_FAST, "too_fast"],
]);

/**
 * What an application can tell its user of a connection that ended with this code: "signed_out" (4401), "forbidden"
 * (4403), "too_fast" (4529), "unavailable" (4503), "replaced", "ended", "too_many_devices"; null: nothing but that the
 * connection is gone.
 */
export function problemOf(code) {
  return PROBLEMS.get(code) ?? null;
}

/** "reconnect", "renew" (a new token, then one try) or "stop", which is also the answer to unknown codes. */
export function advice(code) {
  if (code === CloseCode.UNAUTHENTICATED) return "renew";
  return TRANSPORT.has(code) || (code >= 4500 && code <= 4599) ? "reconnect" : "stop";
}
