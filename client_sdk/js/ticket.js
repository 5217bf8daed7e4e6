/** Asks the server for a one-time ticket, which may stand in a URL where a token must not. */

import { End } from "./attempts.js";
import { CloseCode } from "./close_codes.js";

/** How a refusal is told, as if a connection had been closed so. */
const CODES = new Map([
  [401, CloseCode.UNAUTHENTICATED],
  [403, CloseCode.FORBIDDEN],
  [429, CloseCode.TOO_FAST],
  [503, CloseCode.UNAVAILABLE],
]);

/**
 * The URL to connect to, with a ticket in it.
 *
 * @param url the endpoint for WebSockets
 *
 * Throws an `End`: why there is none, and whether to try again.
 */
export async function withTicket(fetch, url, token) {
  const place = url.replace(/^ws/, "http").replace(/\/ws$/, "/ticket");
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  let answer;
  let ticket;
  try {
    answer = await fetch(place, { method: "POST", headers, body: "{}", credentials: "omit", cache: "no-store" });
    if (answer.ok) ({ ticket } = (await answer.json()).data);
  } catch {
    throw End(CloseCode.ABNORMAL, "cannot ask for a ticket: nobody answers there, or this page is not allowed");
  }
  if (typeof ticket === "string") return `${url}?ticket=${encodeURIComponent(ticket)}`;
  const { status } = answer;
  const seconds = Number(answer.headers?.get("Retry-After") ?? NaN);
  const retryAfter = seconds >= 0 ? seconds * 1000 : null;
  throw End(CODES.get(status) ?? CloseCode.ABNORMAL, `no ticket: HTTP ${status}`, { status, retryAfter });
}
