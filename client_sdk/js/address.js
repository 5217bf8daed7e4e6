/** Where a server is: the URL that a person gives, turned into the one that is used. Pure. */

const BASE_PATH = "/api/v1/presence";

const SCHEMES = { http: "ws", ws: "ws", https: "wss", wss: "wss" };

/** Not `URL`: where there is no browser it may be missing, or know no more than http. */
const FORM = /^([a-z]+):\/\/(?:[^/?#@]*@)?((?:\[[0-9a-f:.]+\]|[^\s/?#@:[\]\\]+)(?::(\d{1,5}))?)(\/[^?#\s\\]*)?$/i;

/**
 * The endpoint for WebSockets of a server such as `https://example.org`, `wss://example.org/api/v1/presence/ws`, or
 * one in between; a path before `/api/v1/presence` is kept. `origin`: what a URL that begins with "/" is relative to.
 *
 * Throws RangeError if it is none, or has a user, a query or a fragment. The error does not repeat those: they may be
 * secrets.
 */
export function addressOf(url, origin = globalThis.location?.origin) {
  const text = String(url ?? "").trim();
  const [, scheme, host, port, path = ""] = FORM.exec(text.startsWith("/") && origin ? origin + text : text) ?? [];
  const webSocketScheme = SCHEMES[scheme?.toLowerCase()];
  if (webSocketScheme === undefined || Number(port ?? 1) > 65_535) {
    throw new RangeError(`url ${shown(text)} is not a server's URL, such as https://example.org`);
  }
  if (text.slice(0, text.indexOf(host)).includes("@")) {
    throw new RangeError(`url ${shown(text)} must have no user and no password: pass a token`);
  }
  const trimmed = path.replace(/\/+$/, "");
  const known = trimmed.endsWith(`${BASE_PATH}/ws`) ? trimmed.slice(0, -"/ws".length) : trimmed;
  const base = known.endsWith(BASE_PATH) ? known : known + BASE_PATH;
  return `${webSocketScheme}://${host}${base}/ws`;
}

/** A URL as an error may show it: without user, password, query and fragment. */
function shown(text) {
  return JSON.stringify(text.replace(/[?#].*$/s, "").replace(/\/\/[^/]*@/, "//").slice(0, 200));
}
