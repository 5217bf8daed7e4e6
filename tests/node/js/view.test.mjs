/** The two rules by which a view learns: a full snapshot replaces, a diff merges by greater version. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { applyDiff, applySnapshot } from "../../../client_sdk/js/presence.js";
import { entry } from "./fakes.mjs";

const held = (...entries) => new Map(entries.map((each) => [each.userId, each]));

test("a snapshot replaces what is held of the users it names, whatever the versions", () => {
  const view = held(entry(1, "BUSY", 9), entry(2, "AWAY", 5));
  const next = applySnapshot(view, [entry(1, "OFFLINE", 3)]);
  assert.deepEqual(next.get(1), entry(1, "OFFLINE", 3));
  assert.deepEqual(next.get(2), entry(2, "AWAY", 5));
});

test("a diff keeps the greater version of each user", () => {
  const view = held(entry(1, "BUSY", 9), entry(2, "AWAY", 5));
  const next = applyDiff(view, [entry(1, "ONLINE", 8), entry(2, "ONLINE", 6), entry(3, "ONLINE", 1)]);
  assert.deepEqual(next, held(entry(1, "BUSY", 9), entry(2, "ONLINE", 6), entry(3, "ONLINE", 1)));
});

test("repeating a diff changes nothing", () => {
  const changes = [entry(1, "ONLINE", 8), entry(2, "ONLINE", 6)];
  const once = applyDiff(new Map(), changes);
  assert.deepEqual(applyDiff(once, changes), once);
});

test("both leave the view they were given as it was", () => {
  const view = held(entry(1, "BUSY", 9));
  applySnapshot(view, [entry(1, "OFFLINE", 3)]);
  applyDiff(view, [entry(1, "ONLINE", 10)]);
  assert.deepEqual(view, held(entry(1, "BUSY", 9)));
});
