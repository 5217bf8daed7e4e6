/** One device of a user: a connection of its own, the buttons that change it, and what it sees of the other users. */

import { PresenceClient } from "../sdk/presence.js";
import { Cable } from "./cable.js";
import { say, translate } from "./language.js";
import { takesMeetings } from "./meeting.js";
import { compare } from "./user_ids.js";
import { ago, duration, fromTemplate, showAvatar, showStatus } from "./words.js";

const NEEDS_LINK = ["idle", "busy", "invisible", "clear", "pull"];

/** Tries that no WebSocket came of, though HTTP did: after these, what is between does not pass them. */
const ENOUGH_TRIES = 2;
/** Close codes: of whoever says goodbye, and of whoever was not let in. */
const NORMAL = 1000;
const NO_CREDENTIALS = 4401;
const SERVER = new URL(".", document.baseURI).href;

export class Person {
  /** The card, an element to put into the page. */
  root;

  #told;
  #parts;
  #cable = new Cable();
  #client;
  #others = new Map();
  #name;
  #lostAt = null; // when the connection was lost, in whatever way
  #pulledAt = null;
  #lookedAway = null; // how long after the cable was pulled the others saw OFFLINE
  #notes = () => []; // what happened last
  #blocked = 0; // tries in a row that failed though the server answered over HTTP
  #obstacle = null; // why no WebSocket can be had: a key of the page's words
  #platform;
  #watched = [];

  /**
   * @param who `{userId, platform, userIds}`; the device id is the SDK's affair
   * @param which `{key, number}`: what this card is told by, and which of the user's devices here it is
   * @param told what the page wants to hear, each with this card first: `frame(card, frame)`,
   *   `did(card, action, statusText)`, `became(card, state)`, `saw(card, changes)`, `another(card)`, `removed(card)`;
   *   besides `learned(milliseconds)`, how long a grace period was; and `grace()`, which gives the grace period in
   *   milliseconds, or null if it is not known
   */
  constructor(who, { key, number }, told) {
    this.key = key;
    this.#name = number === 1 ? String(who.userId) : `${who.userId} #${number}`;
    this.#told = told;
    this.#platform = who.platform;
    this.#client = new PresenceClient({ ...who, url: SERVER, WebSocket: this.#cable.WebSocket });
    this.#build();
    this.#listen();
  }

  get who() {
    return { userId: this.#client.userId, platform: this.#platform };
  }

  /** Null until the SDK has found one that no other tab uses. */
  get deviceId() {
    return this.#client.deviceId;
  }

  /** "501", and "501 #2" for the second device. */
  get name() {
    return this.#name;
  }

  get userId() {
    return this.#client.userId;
  }

  connect() {
    this.#client.connect();
    this.#watch();
  }

  /** See exactly these users. */
  setOthers(userIds) {
    this.#watched = userIds.filter((userId) => userId !== this.userId).sort(compare);
    this.#watch();
    this.#showOthers();
  }

  /** A client that was closed takes no calls: what changed meanwhile is made good when it connects. */
  #watch() {
    this.#client.unwatch(this.#client.watched.filter((userId) => !this.#watched.includes(userId)));
    this.#client.watch(this.#watched);
  }

  /** Say that others saw this person go OFFLINE: the grace period is over. */
  wentOffline() {
    if (this.#pulledAt === null || this.#lookedAway !== null) return;
    this.#lookedAway = Date.now() - this.#pulledAt;
    this.#told.learned(this.#lookedAway);
    this.#showGrace();
  }

  /** Time went by. */
  tick() {
    if (this.#client.state === "waiting") this.#showLink();
    if (this.#pulledAt !== null) this.#showGrace();
    if (this.#lostAt !== null) this.#showTruth();
    this.#showFreshness();
    for (const { userId, parts } of this.#others.values()) this.#showSeen(this.#client.view.get(userId), parts);
  }

  /** In the language that is chosen now. */
  speak() {
    translate(this.root, { user: this.name });
    this.#label();
    this.#showTruth();
    this.#showLink();
    this.#showGrace();
    this.#showOthers();
  }

  // --- acting -----------------------------------------------------------------------------------------------

  #act(action) {
    const actions = {
      idle: () => this.#idle(),
      busy: () => this.#set("busy", "BUSY", { statusText: this.#parts["status-text"].value.trim() || null }),
      invisible: () => this.#set("invisible", "OFFLINE"),
      clear: () => this.#clear(),
      pull: () => this.#pull(),
      reconnect: () => this.#reconnect(),
      leave: () => this.#leave(),
      another: () => this.#told.another(this),
      remove: () => this.#remove(),
    };
    actions[action]();
  }

  #idle() {
    const idle = !this.#isIdle();
    this.#client.activity(idle).catch((error) => this.#complain(error.message));
    this.#told.did(this, idle ? "idle" : "active");
  }

  #set(action, status, options = {}) {
    this.#client.setStatus(status, options).catch((error) => this.#complain(error.message));
    this.#told.did(this, action, options.statusText);
  }

  #clear() {
    if (this.#isIdle()) this.#client.activity(false).catch((error) => this.#complain(error.message));
    this.#set("clear", null, { statusText: null, statusEmoji: null });
  }

  #pull() {
    this.#pulledAt = this.#lostAt = Date.now();
    this.#lookedAway = null;
    this.#cable.pull();
    this.#showGrace();
  }

  #reconnect() {
    this.#obstacle = null;
    this.#cable.plugIn();
    this.#client.reconnectNow();
    this.#watch();
    this.#told.did(this, "connect");
  }

  #leave() {
    this.#pulledAt = this.#lostAt = null;
    this.#client.bye();
    this.#showGrace();
    this.#told.did(this, "leave");
  }

  #remove() {
    this.#client.bye();
    this.#told.removed(this);
  }

  /** No WebSocket was opened. If the server is there all the same, and again, it is what lies between: trying ends. */
  async #findObstacle() {
    let status;
    try {
      if ((await fetch(new URL("readyz", SERVER))).status === 503) return; // it takes nobody now, and says so
      const body = { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"userIds":[]}' };
      status = (await fetch(new URL("api/v1/presence/status/batch", SERVER), body)).status;
    } catch {
      this.#blocked = 0; // not there: the next try will tell
      return;
    }
    this.#blocked++;
    if (this.#client.state !== "waiting" || this.#blocked < ENOUGH_TRIES || status >= 500) return;
    this.#obstacle = status === 403 ? "originRefused" : "proxyWithoutWebSockets";
    this.#client.bye();
    this.#showLink();
    this.#showTruth();
  }

  #isIdle() {
    return Boolean(this.#client.self?.devices.find(({ deviceId }) => deviceId === this.#client.deviceId)?.idle);
  }

  // --- showing ----------------------------------------------------------------------------------------------

  #build() {
    const { root, parts } = fromTemplate("person-template");
    this.root = root;
    this.#parts = parts;
    const { key, userId } = this;
    root.dataset.testid = `person-${key}`;
    for (const [name, element] of Object.entries(parts)) element.dataset.testid = `${name}-${key}`;
    for (const button of root.querySelectorAll("[data-action]")) {
      button.dataset.testid = `${button.dataset.action}-${key}`;
    }
    parts.name.textContent = this.name;
    parts.name.id = `name-${key}`;
    root.setAttribute("aria-labelledby", parts.name.id);
    parts.platform.textContent = this.#platform;
    this.#label();
    showAvatar(parts.avatar, userId);
    this.#showTruth();
    this.#showLink();
  }

  #label() {
    const parts = this.#parts;
    const user = this.name;
    parts["status-group"].setAttribute("aria-label", say("statusOf", { user }));
    parts["link-group"].setAttribute("aria-label", say("linkOf", { user }));
    parts["status-text"].setAttribute("aria-label", say("textOf", { user }));
    parts["grace-bar"].setAttribute("aria-label", say("graceOf", { user }));
    parts.remove.setAttribute("aria-label", say("remove", { user }));
    parts.remove.title = say("remove", { user });
    parts.another.title = say("deviceTitle", { user: this.userId });
    parts["sees-title"].textContent = say("sees", { user });
  }

  #listen() {
    takesMeetings(this.root, this.userId, (words) => this.#complain(words));
    this.root.addEventListener("click", (event) => {
      const button = event.target.closest("[data-action]");
      if (button && button.getAttribute("aria-disabled") !== "true") this.#act(button.dataset.action);
    });
    this.#parts["status-text"].addEventListener("keydown", (event) => {
      if (event.key === "Enter" && this.#client.state === "online") this.#act("busy");
    });
    const client = this.#client;
    client.addEventListener("frame", ({ detail }) => this.#told.frame(this, detail));
    client.addEventListener("state", ({ detail }) => this.#became(detail));
    client.addEventListener("self", () => this.#showTruth());
    client.addEventListener("stale", () => this.#showOthers());
    client.addEventListener("error", ({ detail }) => this.#complain(detail.message));
    client.addEventListener("change", ({ detail }) => {
      this.#showOthers(new Set(detail.changes.map(({ userId }) => userId)));
      this.#told.saw(this, detail.changes);
    });
  }

  #became({ state, continued, resumed }) {
    if (state === "online") {
      this.#notes = () => [say(continued ? "continued" : "newSession"), ...(resumed ? [say("resumed")] : [])];
      this.#pulledAt = this.#lostAt = this.#obstacle = null;
      this.#blocked = 0;
      this.#showGrace();
    } else if (state !== "closed" && this.#client.self) {
      this.#lostAt ??= Date.now();
    }
    if (state === "waiting" && this.#cable.isRefused) this.#findObstacle();
    setText(this.#parts.device, this.deviceId ?? "");
    this.#told.became(this, state);
    this.#showLink();
    this.#showTruth();
    this.#showFreshness();
  }

  #complain(message) {
    this.#notes = () => [message];
    this.#showTruth();
  }

  #showLink() {
    const { state, nextTryAt, closeCode, closeReason } = this.#client;
    const next = { time: nextTryAt === null ? "" : duration(nextTryAt - Date.now() + 999) };
    const texts = {
      connecting: () => say("connecting"),
      online: () => say("online"),
      waiting: () => say(this.#cable.isOut ? "pulled" : "waiting", next),
      closed: () =>
        closeCode === null ? say("notConnected") : say("closed", { code: closeCode, reason: closeReason }).trim(),
    };
    setText(this.#parts["link-text"], this.#obstacle ? say("noWebSockets") : texts[state]());
    this.#parts.link.dataset.state = state;
    this.root.dataset.state = state;
    const isOnline = state === "online";
    for (const button of this.root.querySelectorAll("[data-action]")) {
      const { action } = button.dataset;
      let usable = true;
      if (NEEDS_LINK.includes(action)) usable = isOnline;
      else if (action === "reconnect") usable = !isOnline;
      else if (action === "leave") usable = state !== "closed";
      // Not `disabled`: that would take the focus away from whoever just pressed it.
      button.setAttribute("aria-disabled", String(!usable));
    }
  }

  /** Whether the server has given this device up: it left, or was gone for longer than the grace period. */
  #isGone() {
    const { self, state } = this.#client;
    if (state === "closed" || !self) return true;
    const period = this.#told.grace();
    return this.#lookedAway !== null || (this.#lostAt !== null && period !== null && Date.now() - this.#lostAt > period);
  }

  #showTruth() {
    const { self } = this.#client;
    const isGone = this.#isGone();
    const status = isGone ? "OFFLINE" : self.status;
    const { truth, avatar, note } = this.#parts;
    // Showing it again would cost a screen reader's user the place, and it is looked at ten times a second.
    if (truth.dataset.status !== status || truth.textContent !== say(status)) showStatus(truth, status);
    avatar.dataset.status = status;
    this.#press("idle", !isGone && this.#isIdle());
    this.#press("busy", !isGone && self.override?.status === "BUSY");
    this.#press("invisible", !isGone && self.override?.status === "OFFLINE");
    note.dataset.obstacle = String(this.#obstacle !== null || (this.#client.closeCode ?? NORMAL) !== NORMAL);
    setText(note, this.#obstacle ? say(this.#obstacle) : isGone ? this.#goneNote() : this.#truthNote());
  }

  #goneNote() {
    const { self, state, closeCode, closeReason } = this.#client;
    if (state === "closed" && closeCode !== null && closeCode !== NORMAL) {
      return closeCode === NO_CREDENTIALS ? `${closeReason}. ${say("noToken")}` : closeReason;
    }
    if (!self) return "";
    return say(this.#hasOthers() ? "goneOthersStay" : "gone", { user: this.userId });
  }

  /** Whether the user had other devices when this one last heard of it. */
  #hasOthers() {
    return this.#client.self?.devices.some(({ deviceId }) => deviceId !== this.deviceId) ?? false;
  }

  #truthNote() {
    const { self } = this.#client;
    const notes = [];
    if (self.override?.status === "OFFLINE") notes.push(say("invisibleHere"));
    if (self.statusText || self.statusEmoji) notes.push(textOf(self));
    if (!["devices", "self"].includes(self.statusBy?.source ?? "self")) {
      notes.push(say("claimedBy", { source: self.statusBy.source }));
    }
    if (self.devices.length > 1) notes.push(say("devices", { n: self.devices.length }));
    if (this.#isIdle()) notes.push(say("idleHere"));
    notes.push(...(this.#lostAt === null ? this.#notes() : [say("lastKnown")]));
    return notes.join(" · ");
  }

  #press(action, pressed) {
    this.root.querySelector(`[data-action="${action}"]`).setAttribute("aria-pressed", String(pressed));
  }

  #showGrace() {
    const { grace, "grace-bar": bar, "grace-text": text } = this.#parts;
    grace.hidden = this.#pulledAt === null;
    if (grace.hidden) return;
    const gone = Date.now() - this.#pulledAt;
    const period = this.#told.grace();
    const over = this.#isGone();
    grace.dataset.over = String(over);
    bar.hidden = period === null;
    bar.value = over || period === null ? 0 : Math.max(0, 1 - gone / period);
    setText(text, over ? this.#afterGrace() : this.#duringGrace(gone, period));
  }

  #afterGrace() {
    if (this.#lookedAway === null) return say(this.#hasOthers() ? "graceOver" : "graceOverAlone", { user: this.userId });
    return say("graceSeen", { user: this.userId, time: inSeconds(this.#lookedAway) });
  }

  #duringGrace(gone, period) {
    const time = inSeconds(gone);
    if (period === null) return say("graceRunsUnknown", { time });
    return say("graceRuns", { time, left: inSeconds(Math.max(0, period - gone)) });
  }

  #showOthers(changed = new Set()) {
    const watched = this.#watched;
    for (const [userId, { root }] of this.#others) {
      if (watched.includes(userId)) continue;
      root.remove();
      this.#others.delete(userId);
    }
    for (const userId of watched) {
      const row = this.#others.get(userId) ?? this.#addOther(userId);
      this.#parts.others.append(row.root);
      this.#showOther(row, changed.has(userId));
    }
    this.#parts.alone.hidden = watched.length > 0;
    this.#showFreshness();
  }

  #addOther(userId) {
    const { root, parts } = fromTemplate("other-template");
    const row = { userId, root, parts };
    root.dataset.testid = `sees-${this.key}-${userId}`;
    for (const [name, element] of Object.entries(parts)) {
      element.dataset.testid = `sees-${this.key}-${userId}-${name}`;
    }
    parts.name.textContent = String(userId);
    showAvatar(parts.avatar, userId);
    root.addEventListener("animationend", () => root.classList.remove("changed"));
    this.#others.set(userId, row);
    return row;
  }

  #showOther({ userId, root, parts }, changed) {
    const entry = this.#client.view.get(userId);
    const status = entry?.status ?? "";
    root.dataset.status = status;
    root.title = entry ? said(entry) : "";
    parts.avatar.dataset.status = status;
    if (entry) showStatus(parts.status, status);
    else setText(parts.status, say("unknown"));
    parts.platforms.replaceChildren(...(entry?.platforms ?? []).map(chip));
    setText(parts.said, textOf(entry));
    this.#showSeen(entry, parts);
    if (changed) root.classList.add("changed");
  }

  #showSeen(entry, { seen }) {
    const time = entry?.lastActiveTime;
    if (time) {
      const key = { OFFLINE: "lastSeen", AWAY: "idleSince" }[entry.status];
      setText(seen, key ? say(key, { ago: ago(Date.now() - Date.parse(time)) }) : "");
      if (seen.dateTime !== time) seen.dateTime = time;
      seen.title = new Date(time).toLocaleString();
    } else {
      const roughly = entry?.lastSeen ? say(`lastSeen_${entry.lastSeen}`) : say("neverSeen");
      setText(seen, entry?.status === "OFFLINE" ? roughly : "");
      seen.removeAttribute("title");
    }
  }

  #showFreshness() {
    const { stale, staleSince } = this.#client.view;
    this.#parts.sees.dataset.stale = String(stale);
    const since = staleSince === null ? say("staleOnly") : say("stale", { time: duration(Date.now() - staleSince) });
    setText(this.#parts.freshness, stale ? since : say("live"));
  }
}

/** "10002: Busy" */
export function said({ userId, status }) {
  return say("saidIs", { user: userId, status: say(status) });
}

/** "10.2" */
function inSeconds(milliseconds) {
  return (milliseconds / 1000).toFixed(1);
}

function chip(platform) {
  const element = document.createElement("span");
  element.className = "chip";
  element.textContent = platform;
  return element;
}

/** Writing the same text again would make screen readers say it again. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The emoji and the words of somebody's status, as the page shows them. */
function textOf(entry) {
  const words = entry?.statusText ? `“${entry.statusText}”` : "";
  return [entry?.statusEmoji, words].filter(Boolean).join(" ");
}
