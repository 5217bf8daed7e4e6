/**
 * Whether to come back after a connection ended, and how long to wait first.
 *
 * The code's range says it: 4400-4499 do not come back unchanged; 4500-4599 and the transport's own 1001, 1005,
 * 1006, 1011-1015 come back with backoff; 4401 is worth one try with a new token.
 */

export const NORMAL = 1000;
export const GOING_AWAY = 1001;
export const ABNORMAL = 1006;
/** Scripts in a browser may close with 1000 or 3000-4999 only; the server takes this one for an unclean end. */
export const ABANDONED = 3001;

/** "reconnect", "renew" (a new token, then one try) or "stop", which is also the answer to unknown codes. */
export function advice(code) {
  if (code === 4401) return "renew";
  const transport = code === 1001 || code === 1005 || code === 1006 || (code >= 1011 && code <= 1015);
  return transport || (code >= 4500 && code <= 4599) ? "reconnect" : "stop";
}

/**
 * Milliseconds to wait before try number `attempt` (0, 1, ...): anything from 0 up to a ceiling that doubles.
 *
 * Full jitter, since thousands of clients lose a server at the same moment and must not come back at the same one.
 */
export function backoff(attempt, random, { base = 1000, cap = 30_000 } = {}) {
  return Math.floor(random() * Math.min(cap, base * 2 ** Math.min(attempt, 30)));
}
