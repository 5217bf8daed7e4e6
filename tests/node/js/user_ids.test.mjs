/** User ids of each kind: the shared vectors, and a server that speaks another. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { checkId } from "../../../client_sdk/js/values.js";

const { cases } = JSON.parse(readFileSync(new URL("../../vectors/user_ids.json", import.meta.url), "utf8"));

for (const { kind, value, id, reason } of cases) {
  if (kind !== "string" && typeof value === "number" && Math.abs(value) > Number.MAX_SAFE_INTEGER) continue; // rounded
  test(`${kind}: ${JSON.stringify(value)}`, () => {
    if (reason === undefined) assert.equal(String(checkId("userId", value, kind)), id);
    else assert.throws(() => checkId("userId", value, kind), /^RangeError: userId: .* is not a user id/s);
  });
}

test("an int64 is a string from end to end", () => {
  assert.equal(checkId("userId", 2n ** 63n - 1n, "int64"), "9223372036854775807");
  assert.equal(checkId("userId", 10001, "int64"), "10001");
  assert.throws(() => checkId("userId", 2n ** 63n, "int64"), RangeError);
  assert.throws(() => checkId("userId", 2 ** 53, "int64"), RangeError);
});
