/** Where a server is: the URL that a person gives, turned into the one that is used. Pure. */

const BASE_PATH = "/api/v1/presence";

const SCHEMES = { http: "ws", ws: "ws", https: "wss", wss: "wss" };

/** Not `URL`: where there is no browser it may be missing, or know no more than http. */
const FORM = /^([a-z]+):\/\/(?:([^/?#]*)@)?(\[[0-9a-f:.]+\]|[^\s/?#@:[\]\\%]+)(?::(\d*))?(\/[^?#\p{Cc}\u2028\u2029]*)?$/iu;

const HOST_NAME = /^[\p{L}\p{N}\p{M}_-]{1,63}(\.[\p{L}\p{N}\p{M}_-]{1,63})*\.?$/u;

/**
 * The endpoint for WebSockets of a server such as `https://example.org`, `wss://example.org/api/v1/presence/ws`, or
 * one in between; a path before `/api/v1/presence` is kept. The Python SDK takes the same: `tests/vectors/urls.json`.
 *
 * Throws RangeError if it is none, or has a query or a fragment, or a user: a browser cannot send one. The error does
 * not repeat those: they may be secrets.
 */
export function addressOf(url) {
  if (typeof url !== "string" && !(url instanceof Object)) throw new TypeError("url: must be a string");
  const text = String(url).trim();
  const [, scheme, user, host, port, path = ""] = FORM.exec(text) ?? [];
  const webSocketScheme = SCHEMES[scheme?.toLowerCase()];
  const isHost = host?.startsWith("[") || HOST_NAME.test(host ?? "");
  const isPort = !port || (Number(port) > 0 && Number(port) <= 65_535);
  if (webSocketScheme === undefined || !isHost || !isPort) {
    throw new RangeError(`url: ${JSON.stringify(shown(text))} is not a server's URL, such as https://example.org`);
  }
  if (user !== undefined) {
    throw new RangeError(`url: ${JSON.stringify(shown(text))} must have no user and no password: pass a token`);
  }
  const place = port ? `${host}:${Number(port)}` : host;
  const trimmed = path.replace(/\/+$/, "");
  const known = trimmed.endsWith(`${BASE_PATH}/ws`) ? trimmed.slice(0, -"/ws".length) : trimmed;
  const base = known.endsWith(BASE_PATH) ? known : known + BASE_PATH;
  return `${webSocketScheme}://${place.toLowerCase()}${quoted(base)}/ws`;
}

/** A text of somebody else's, without what may be secret in it: the token, and of URLs the user, query and fragment. */
export function redacted(text, token = null) {
  const hidden = token ? text.split(token).join("***") : text;
  // Up to the last @: a password with a slash in it makes no URL, but is secret all the same. No look-behind: Safari
  // before 16.4 does not even read a module that has one.
  return hidden.replace(/\/\/\S*@/g, "//").replace(/([^\s?#])[?#]\S+/g, "$1").slice(0, 300);
}

/** What was given as a URL, however wrong, without what may be secret. */
function shown(text) {
  const at = text.lastIndexOf("@");
  const [, scheme = ""] = /^([^@]*?:\/\/)/.exec(text) ?? [];
  return redacted(at === -1 ? text : scheme + text.slice(at + 1));
}

/** A path as RFC 3986 has it; % stays, as what it begins is quoted already. */
function quoted(path) {
  return encodeURI(path).replace(/%25/g, "%");
}
