/** The cases that every SDK runs: how a view follows from what was sent and received, and what a close code means. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { addressOf } from "../../../client_sdk/js/address.js";
import { advice, problemOf } from "../../../client_sdk/js/presence.js";
import { isStatusEmoji, refusal } from "../../../client_sdk/js/text.js";
import { formatTime, parseTime } from "../../../client_sdk/js/times.js";
import { View } from "../../../client_sdk/js/view.js";
import { settled, start } from "./fakes.mjs";

const vectors = (name) => JSON.parse(readFileSync(new URL(`../../vectors/${name}.json`, import.meta.url), "utf8"));

const byText = (view) => Object.fromEntries([...view].map(([userId, entry]) => [String(userId), entry]));
const ascending = (userIds = []) => userIds.toSorted((a, b) => a - b);

for (const { name, steps } of vectors("fold").cases) {
  test(`the view: ${name}`, () => {
    const view = new View(0);
    for (const step of steps) {
      if (step.watch) view.watch(step.watch, step.id);
      if (step.unwatch) view.unwatch(step.unwatch);
      if (step.lost) view.lost(0);
      if (step.receive) view.receive(step.receive);
      if (step.hello) {
        const { userIds, cursor } = view.hello();
        assert.deepEqual([userIds, cursor], [step.hello.watch ?? [], step.hello.cursor ?? null]);
      }
      if ("view" in step) assert.deepEqual(byText(view.entries), step.view);
      if ("cursor" in step) assert.equal(view.cursor, step.cursor);
      if ("stale" in step) assert.equal(view.staleSince !== null, step.stale);
    }
  });

  test(`the client: ${name}`, async () => {
    const { client, socket } = start();
    const ids = new Map(); // the case's message ids -> this client's
    for (const step of steps) {
      if (step.watch || step.unwatch) {
        const type = step.watch ? "watch" : "unwatch";
        const same = (message) => message.type === type && String(message.userIds) === String(step[type]);
        if (!client.watched.includes(step[type][0]) || step.unwatch) client[type](step[type]);
        if (step.id !== undefined) ids.set(step.id, socket().sent.findLast(same).id);
      }
      if (step.lost) socket().drop();
      if (step.hello) {
        client.reconnectNow();
        socket().open();
        const { watch, cursor } = socket().last("hello");
        assert.deepEqual([ascending(watch), cursor], [step.hello.watch, step.hello.cursor]);
      }
      if (step.receive) {
        const { id } = step.receive;
        socket().receive(id === undefined ? step.receive : { ...step.receive, id: ids.get(id) ?? id });
        await settled();
      }
      if ("view" in step) assert.deepEqual(byText(client.view), step.view);
      if ("stale" in step) assert.equal(client.view.stale, step.stale);
    }
  });
}

test("close codes", () => {
  for (const { code, advice: expected, problem } of vectors("close_codes").cases) {
    assert.equal(advice(code), expected, String(code));
    assert.equal(problemOf(code), problem ?? null, String(code));
  }
});

for (const { name, text, refused } of vectors("text").cases) {
  test(`text: ${name}`, () => {
    const reason = refusal(text);
    if (refused === null) assert.equal(reason, null);
    else assert.ok(reason?.startsWith(`must not hold ${refused}, `), reason);
  });
}

for (const { name, text, taken } of vectors("emoji").cases) {
  test(`emoji: ${name}`, () => assert.equal(isStatusEmoji(text), taken));
}

for (const { name, until, time } of vectors("times").cases) {
  test(`times: ${name}`, () => {
    const seconds = parseTime(until);
    assert.equal(seconds === null ? null : formatTime(seconds), time);
  });
}

for (const { url, websocket } of vectors("urls").cases) {
  test(`a URL: ${JSON.stringify(url)}`, () => {
    if (websocket !== null) {
      assert.equal(addressOf(url), websocket);
      return;
    }
    assert.throws(
      () => addressOf(url),
      (error) => error instanceof RangeError && /^url: .*is not a server's URL/.test(error.message) && !/SE.?CRET|CRET/.test(error.message),
    );
  });
}
