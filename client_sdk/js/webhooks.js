/**
 * Webhooks of the presence service, verified, as typed events: for a back end that receives them, on Node, Deno, Bun or a
 * worker at the edge. Plain WebCrypto, no dependency.
 *
 *     import { isChanges, WebhookReceiver } from "presence-client/webhooks";
 *     const receiver = new WebhookReceiver(process.env.WEBHOOK_SECRET);
 *     const event = await receiver.verify(request.body, request.headers); // rejects with WebhookRefused: answer 400
 *     if (isChanges(event)) store(event.changes, event.gap);
 *
 * Signatures are those of Standard Webhooks (https://www.standardwebhooks.com): HMAC-SHA256 over `webhook-id`,
 * `webhook-timestamp` and the body as it came, byte by byte. So pass the bytes, never what a framework made of them
 * (`express.raw({ type: "application/json" })`).
 *
 * Answer 2xx when an event is stored, and any other status if it is to come again. The same event may come twice, under the
 * same `id`; a user's `version` tells which of two entries is the later one. See docs/back-ends.md.
 */

/** Milliseconds that the time of a webhook may be away from this machine's. */
const TOLERANCE = 300_000;

const HEADERS = ["webhook-id", "webhook-timestamp", "webhook-signature"];
const CHANGES = "presence.changes";

/** What came is not to be believed, or is no event: answer 400. `reason` says why, and shows no secret. */
export class WebhookRefused extends Error {
  constructor(reason) {
    super(`webhook refused: ${reason}`);
    this.name = "WebhookRefused";
    this.reason = reason;
  }
}

/** Verifies what comes to one URL. Keep one for the life of the process. */
export class WebhookReceiver {
  #secrets;
  #keys = null;
  #now;

  /**
   * @param secrets one, or an array of several while one is replaced by another; each `whsec_` and base64. Throws RangeError
   *   if one of them cannot be right; its message shows no secret.
   * @param now for tests: milliseconds since 1970
   */
  constructor(secrets, { now = Date.now } = {}) {
    const all = Array.isArray(secrets) ? secrets : [secrets];
    if (all.length === 0) throw new RangeError("a secret is needed, such as whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    this.#secrets = all.map((secret, index) => {
      const bytes = typeof secret === "string" && secret.startsWith("whsec_") ? bytesOf(secret.slice(6)) : null;
      if (!bytes?.length) throw new RangeError(`secrets[${index}] must be whsec_ and base64`);
      return bytes;
    });
    this.#now = now;
  }

  /**
   * The event that a request holds. Rejects with WebhookRefused; throws TypeError for what a framework has parsed already.
   *
   * @param body as it came: a Uint8Array (a Buffer), an ArrayBuffer or a string
   * @param headers an object as Node has it, a Headers or a Map
   */
  async verify(body, headers) {
    const bytes = bodyOf(body);
    const [id, time, signatures] = HEADERS.map((name) => headerOf(headers, name));
    const skew = this.#now() - Number(time.trim() || NaN) * 1000;
    if (!Number.isFinite(skew)) throw new WebhookRefused("webhook-timestamp is not a number of seconds");
    const isFar = Math.abs(skew) > TOLERANCE;
    const which = skew > 0 ? "ago" : "ahead";
    if (isFar) throw new WebhookRefused(`webhook-timestamp is more than five minutes ${which}: is this machine's clock right?`);
    if (!(await this.#isSigned(signedOf(id, time, bytes), signatures))) throw new WebhookRefused("no signature is right");
    return eventOf(id, bytes);
  }

  async #isSigned(content, signatures) {
    const subtle = await subtleCrypto();
    this.#keys ??= Promise.all(
      this.#secrets.map((secret) => subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["verify"])),
    );
    for (const signature of signatures.split(" ")) {
      const bytes = signature.startsWith("v1,") ? bytesOf(signature.slice(3)) : null;
      if (bytes === null) continue;
      // `verify` compares in constant time.
      for (const key of await this.#keys) if (await subtle.verify("HMAC", key, bytes, content)) return true;
    }
    return false;
  }
}

/** Whether it is an event that tells of changes. */
export function isChanges(event) {
  return event.type === CHANGES;
}

/** Node 18 has no `crypto` in its global scope. */
async function subtleCrypto() {
  return globalThis.crypto?.subtle ?? (await import("node:crypto")).webcrypto.subtle;
}

/** The bytes of base64, with padding or without; null if it is none. */
function bytesOf(text) {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return null;
  try {
    return Uint8Array.from(atob(text.replace(/=+$/, "")), (letter) => letter.charCodeAt(0));
  } catch {
    return null;
  }
}

function bodyOf(body) {
  if (typeof body === "string") return new TextEncoder().encode(body);
  if (body instanceof ArrayBuffer) return new Uint8Array(body);
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  throw new TypeError("body must be the bytes of the request as they came, not what a framework has parsed");
}

function headerOf(headers, name) {
  const given = typeof headers?.get === "function" ? headers.get(name) : anyCase(headers ?? {}, name);
  const value = Array.isArray(given) ? given[0] : given;
  if (!value) throw new WebhookRefused(`${name} is missing`);
  return String(value);
}

function anyCase(headers, name) {
  return headers[name] ?? headers[Object.keys(headers).find((each) => each.toLowerCase() === name)];
}

function signedOf(id, time, body) {
  const head = new TextEncoder().encode(`${id}.${time}.`);
  const content = new Uint8Array(head.length + body.length);
  content.set(head);
  content.set(body, head.length);
  return content;
}

function eventOf(id, bytes) {
  let told;
  try {
    told = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (failure) {
    throw new WebhookRefused(`the body is not an event: ${failure.message}`);
  }
  const { type, timestamp, data } = told ?? {};
  const at = new Date(typeof timestamp === "string" ? timestamp : NaN);
  if (typeof type !== "string" || Number.isNaN(at.getTime())) throw new WebhookRefused("the body is not an event: type or timestamp");
  if (type !== CHANGES) return { id, type, timestamp: at, data };
  const { changes, cursor, gap = false } = data ?? {};
  if (!Array.isArray(changes) || !changes.every(isEntry) || typeof cursor !== "string" || typeof gap !== "boolean") {
    throw new WebhookRefused("the body is not an event: changes, cursor or gap");
  }
  return { id, type, timestamp: at, changes, cursor, gap };
}

function isEntry(entry) {
  const { userId, status, platforms, version, cause, at } = entry ?? {};
  const isId = Number.isSafeInteger(userId) || typeof userId === "string";
  return isId && [status, cause].every((each) => typeof each === "string") && [version, at].every(Number.isFinite) && Array.isArray(platforms);
}
