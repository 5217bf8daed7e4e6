/** Webhooks as a back end takes them: the shared vectors, and what each framework hands over. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Webhook } from "standardwebhooks";

import { isChanges, WebhookReceiver, WebhookRefused } from "../../../client_sdk/js/webhooks.js";

const { now, cases } = JSON.parse(readFileSync(new URL("../../vectors/webhooks.json", import.meta.url), "utf8"));
const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

for (const { name, secrets, headers, body, event: expected, refused } of cases) {
  test(`webhooks: ${name}`, async () => {
    const receiver = new WebhookReceiver(secrets, { now: () => now * 1000 });
    if (refused !== undefined) {
      await assert.rejects(receiver.verify(body, headers), (error) => {
        assert.ok(error instanceof WebhookRefused);
        assert.ok(error.reason.startsWith(refused), error.reason);
        return true;
      });
      return;
    }
    const event = await receiver.verify(body, headers);
    assert.deepEqual([event.id, event.timestamp.toISOString()], [headers["webhook-id"], "2025-11-09T15:00:01.000Z"]);
    assert.equal(event.type, expected.type);
    if (isChanges(event)) assert.deepEqual([event.changes.length, event.gap], [expected.changes, expected.gap]);
  });
}

test("what the library of Standard Webhooks signs is taken, however the request is handed over", async () => {
  const { body } = cases[0];
  const at = new Date();
  const lower = {
    "webhook-id": "msg_2",
    "webhook-timestamp": String(Math.floor(at / 1000)),
    "webhook-signature": new Webhook(SECRET).sign("msg_2", at, body),
  };
  const receiver = new WebhookReceiver(SECRET);
  const upper = Object.fromEntries(Object.entries(lower).map(([name, value]) => [name.toUpperCase(), [value]]));
  const bytes = new TextEncoder().encode(body);
  const bodies = [body, bytes, bytes.buffer, Buffer.from(body), new DataView(bytes.buffer)];
  for (const headers of [lower, upper, new Headers(lower), new Map(Object.entries(lower))]) {
    for (const each of bodies) assert.equal((await receiver.verify(each, headers)).changes[0].statusText, "出差 🌴");
  }
});

test("what a framework has parsed is not what was signed", async () => {
  await assert.rejects(new WebhookReceiver(SECRET).verify({ type: "presence.changes" }, {}), TypeError);
});

test("a secret that cannot be right is named and not shown", () => {
  for (const secret of ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_%%%", "whsec_a", "psk_abcd", null, undefined]) {
    assert.throws(() => new WebhookReceiver([SECRET, secret]), /^RangeError: secrets\[1\] must be whsec_ and base64$/);
  }
  assert.throws(() => new WebhookReceiver([]), /a secret is needed/);
});

test("whatever comes to a public URL is refused", async () => {
  const receiver = new WebhookReceiver(SECRET);
  for (const headers of [null, undefined, {}, { "webhook-id": "" }, { "webhook-id": "a", "webhook-timestamp": "1e999", "webhook-signature": "v1," }]) {
    for (const body of ["", new Uint8Array([0xff, 0xfe]), "[".repeat(100_000)]) {
      await assert.rejects(receiver.verify(body, headers), WebhookRefused);
    }
  }
});
