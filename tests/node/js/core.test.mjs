/** The cases of the core that every SDK runs: events in, actions out. What they mean stands in their `about`. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { End } from "../../../client_sdk/js/attempts.js";
import { Core } from "../../../client_sdk/js/core.js";
import { Identity } from "../../../client_sdk/js/identity.js";
import { decode } from "../../../client_sdk/js/messages.js";

const { cases, chance, messages } = JSON.parse(readFileSync(new URL("../../vectors/core.json", import.meta.url), "utf8"));

/** One scenario. */
class Runner {
  #tickets = new Map();
  #names = new Map();

  constructor({ client = {}, chance: own }) {
    const { userId = 1, deviceId = "d", platform = "PC", observer, asksToken, ...more } = client;
    const who = observer ? {} : { userId, deviceId, platform };
    this.core = new Core(new Identity({ ...who, ...more, hasTokens: asksToken }), 0, () => own ?? chance);
  }

  /** Let the event happen. Returns the actions that follow. */
  step(event, now) {
    const { core } = this;
    const { type, link } = event;
    const answers = [];
    const asked = (ticket) => {
      this.#tickets.set(event.ticket, ticket);
      this.#names.set(ticket, event.ticket);
    };
    const events = {
      start: () => core.start(now),
      tick: () => core.tick(now),
      leave: () => core.leave(now),
      reconnectNow: () => core.reconnectNow(now),
      token: () => core.token(link, event.token, now),
      tokenFailed: () => core.tokenFailed(link, event.reason, now),
      signedOut: () => core.signedOut(link, event.reason, now),
      opened: () => core.opened(link, now),
      heard: () => core.heard(link, now),
      received: () => core.received(link, decode(JSON.stringify(messages[event.message] ?? event.message)), now),
      lost: () => core.lost(link, End(event.code, event.reason, { retryAfter: event.retryAfterMs }), now),
      watch: () => asked(core.watch(event.userIds)),
      unwatch: () => asked(core.unwatch(event.userIds)),
      activity: () => asked(core.activity(event.idle, event.idleForMs ?? 0, now)),
      status: () => {
        const { status, until, statusText, lastsMs } = event;
        const message = { type: "status", status, ...(until && { until }), ...(statusText && { statusText }) };
        asked(core.request(message, lastsMs === undefined ? null : now + lastsMs));
      },
      query: () => asked(core.request({ type: "query", userIds: event.userIds })),
      giveUp: () => {
        const { error } = core.giveUp(this.#tickets.get(event.ticket), 1000);
        answers.push({ type: "settled", ticket: event.ticket, error });
      },
    };
    events[type]();
    return [...core.take().flatMap((action) => this.#written(action)), ...answers];
  }

  #written({ type, link, ...action }) {
    const kind = "websocket"; // the only one that a browser has
    const forms = {
      AskToken: () => ({ type: "askToken", link }),
      Open: () => ({ type: "open", link, kind }),
      Send: () => ({ type: "send", link, message: action.message }),
      Close: () => ({ type: "close", link, code: action.code, reason: action.reason }),
      Settled: ({ ticket, error }) => {
        const name = this.#names.get(ticket);
        const wasSent = error?.error === "closed" && error.wasSent;
        return { type: "settled", ticket: name, ...(error && { error: error.error }), ...(wasSent && { wasSent }) };
      },
      Changed: ({ changes }) => ({
        type: "changed",
        changes: changes.map(({ userId, before, after }) => ({
          userId,
          before: before?.status ?? null,
          after: after.status,
        })),
      }),
      SelfTold: ({ self }) => ({ type: "selfTold", self }),
      Became: ({ state: { phase, retryIn, code, reason } }) => ({
        type: "became",
        phase,
        ...(["connecting", "online"].includes(phase) && { kind }),
        ...(retryIn !== null && { retryInMs: retryIn }),
        ...(code && { code }),
        ...(reason && { reason }),
      }),
      Complained: () => [], // the Python SDK has no event for it
    };
    return forms[type](action);
  }

  /** What a step may ask for beside the actions. */
  known() {
    const { view } = this.core;
    return {
      deadline: this.core.deadline(),
      view: Object.fromEntries([...view.entries].map(([userId, { status }]) => [userId, status])),
      watched: [...view.watched].sort((a, b) => a - b),
      stale: view.staleSince !== null,
    };
  }
}

for (const each of cases) {
  if (each.client?.transport === "auto" || each.client?.transport === "rest") continue; // browsers have WebSockets
  test(each.name, () => {
    const runner = new Runner(each);
    for (const [index, { now, event, expect, ...known }] of each.steps.entries()) {
      const at = `step ${index}: ${JSON.stringify(event)}`;
      assert.deepEqual(runner.step(event, now), expect, at);
      const holds = runner.known();
      for (const [name, value] of Object.entries(known)) assert.deepEqual(holds[name], value, `${at}: ${name}`);
    }
  });
}
