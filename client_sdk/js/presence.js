/**
 * The browser SDK: plain ES modules without dependencies or a build step.
 *
 *     const client = connect({ url: "https://example.org", userId: 10001 });
 *     client.addEventListener("change", () => render(client.view));
 *     client.watch([10002, 10003]);
 *
 * This is the only module to import; back ends that receive webhooks have `webhooks.js`. The logic without I/O is in `core.js`, and is that of the Python SDK.
 */

export { backoff } from "./backoff.js";
export { connect, PresenceClient } from "./client.js";
export { advice, problemOf } from "./close_codes.js";
export { ConnectionClosed, NotConnected, PresenceError, RequestFailed, RequestTimedOut, SignedOut } from "./errors.js";
export { applyDiff, applySnapshot } from "./view.js";
