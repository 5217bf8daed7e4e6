/** Tickets in URLs, tokens that end, and what an application can tell of a refusal. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { problemOf } from "../../../client_sdk/js/presence.js";
import { settled, start } from "./fakes.mjs";

const answering = (status, body, headers = {}) => {
  const asked = [];
  const fetch = async (url, options) => {
    asked.push({ url, ...options });
    return { ok: status === 200, status, json: async () => body, headers: new Headers(headers) };
  };
  return { asked, fetch };
};

test("with tickets the token goes into no hello and no URL", async () => {
  const { asked, fetch } = answering(200, { data: { ticket: "o/ne", expiresIn: 30 } });
  const { client, socket } = start({ token: () => "secret", ticket: true, fetch });
  await settled();
  assert.equal(asked.length, 1);
  const [{ url, method, headers }] = asked;
  assert.match(url, /^http:\/\/.*\/api\/v1\/presence\/ticket$/);
  assert.deepEqual([method, headers.Authorization, headers["Content-Type"]], ["POST", "Bearer secret", "application/json"]);
  assert.match(socket().url, /\/api\/v1\/presence\/ws\?ticket=o%2Fne$/);
  socket().open();
  assert.equal("token" in socket().last("hello"), false);
  client.bye();
});

test("a ticket that is refused is told as a close would be", async () => {
  const { fetch } = answering(403, {});
  const { client } = start({ token: "secret", ticket: true, fetch });
  await settled();
  assert.deepEqual([client.state, client.closeCode, client.problem], ["closed", 4403, "forbidden"]);
});

test("too many tickets: it comes back when the server says", async () => {
  const { fetch } = answering(429, {}, { "Retry-After": "7" });
  const { client } = start({ token: "secret", ticket: true, fetch });
  const before = client.nextTryAt;
  await settled();
  assert.deepEqual([before, client.state, client.problem], [null, "waiting", "too_fast"]);
  client.bye();
});

test("nobody answers: it tries again", async () => {
  const fetch = async () => {
    throw new TypeError("failed to fetch");
  };
  const { client } = start({ token: "secret", ticket: true, fetch });
  await settled();
  assert.deepEqual([client.state, client.problem], ["waiting", null]);
  client.bye();
});

test("a ticket needs a token", () => {
  assert.throws(() => start({ ticket: true }), /ticket: needs a token/);
});

test("a token that ends soon is replaced over the same connection", async () => {
  const tokens = ["one", "two"];
  const { client, socket, sockets } = start({ token: () => tokens.shift() });
  await settled();
  socket().open();
  socket().welcome();
  socket().receive({ type: "expiring", inMs: 30_000 });
  await settled();
  const { id, token } = socket().last("auth");
  assert.equal(token, "two");
  socket().receive({ type: "ok", id });
  assert.equal(client.state, "online");
  assert.equal(sockets?.length ?? 1, 1);
  client.bye();
});

test("states tell what an application can show", async () => {
  for (const [code, state, problem] of [
    [4403, "closed", "forbidden"],
    [4529, "waiting", "too_fast"],
    [4503, "waiting", "unavailable"],
    [1006, "waiting", null],
  ]) {
    const { client, socket } = start();
    const told = [];
    client.addEventListener("state", ({ detail }) => told.push(detail.problem ?? null));
    await settled();
    socket().open();
    socket().welcome();
    assert.equal(client.problem, null);
    socket().drop(code, "no");
    assert.deepEqual([client.state, client.problem, told.at(-1)], [state, problem, problem]);
    assert.equal(problemOf(code), problem);
    client.bye();
  }
});
