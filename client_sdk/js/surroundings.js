/** What the place that the client runs in gives to it: a clock, chance, and the news that the page is back. */

/** A clock that only goes forward, in milliseconds: `Date` is set back and forth by people and by NTP. */
export function monotonic() {
  const { performance } = globalThis;
  if (typeof performance?.now === "function") return () => performance.now();
  let last = Date.now();
  let passed = 0;
  return () => {
    const now = Date.now();
    passed += Math.max(0, now - last);
    last = now;
    return passed;
  };
}

/** 128 random bits in hexadecimal. Not `crypto.randomUUID()`, which pages without HTTPS do not have. */
export function randomId(chance = Math.random) {
  const bytes = new Uint8Array(16);
  if (typeof globalThis.crypto?.getRandomValues === "function") globalThis.crypto.getRandomValues(bytes);
  else for (let index = 0; index < bytes.length; index++) bytes[index] = Math.floor(chance() * 256);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Call `wake` when the network or the page comes back; returns a function that ends it.
 *
 * Timers of a page that was frozen, hidden or asleep are late by minutes: these events are not.
 */
export function whenItComesBack(wake) {
  const { document, window = globalThis } = globalThis;
  const seen = () => {
    if (document.visibilityState !== "hidden") wake();
  };
  const places = [
    [window, "online", wake],
    [window, "pageshow", wake],
    [document, "visibilitychange", seen],
  ].filter(([place]) => typeof place?.addEventListener === "function");
  const call = (method) => {
    for (const [place, type, listener] of places) place[method](type, listener);
  };
  call("addEventListener");
  return () => call("removeEventListener");
}
