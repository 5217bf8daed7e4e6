/** Whether to come back after a close code, and how long to wait. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { advice, backoff } from "../../../client_sdk/js/presence.js";

test("the close code's range says whether to come back", () => {
  for (const code of [1001, 1005, 1006, 1011, 1012, 1013, 1014, 1015, 4500, 4503, 4504, 4508, 4529, 4599]) {
    assert.equal(advice(code), "reconnect", String(code));
  }
  for (const code of [1000, 1002, 1009, 1010, 3001, 4399, 4400, 4403, 4409, 4410, 4411, 4413, 4499, 4600]) {
    assert.equal(advice(code), "stop", String(code));
  }
  assert.equal(advice(4401), "renew");
});

test("the wait lies between nothing and a ceiling that doubles up to the cap", () => {
  const almostOne = () => 1 - Number.EPSILON;
  const ceilings = Array.from({ length: 8 }, (_, attempt) => backoff(attempt, almostOne));
  assert.deepEqual(ceilings, [999, 1999, 3999, 7999, 15999, 29999, 29999, 29999]);
  assert.equal(backoff(5, () => 0), 0);
  assert.equal(backoff(4000, almostOne), 29999);
});

test("base and cap can be chosen", () => {
  assert.equal(backoff(0, () => 0.5, { base: 100, cap: 250 }), 50);
  assert.equal(backoff(3, () => 0.5, { base: 100, cap: 250 }), 125);
});
