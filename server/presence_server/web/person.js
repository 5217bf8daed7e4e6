/** One person: a connection of their own, the buttons that change it, and what they see of the others. */

import { PresenceClient } from "/sdk/presence.js";
import { Cable } from "./cable.js";
import { ago, duration, fromTemplate, showAvatar, showStatus, STATUSES } from "./words.js";

const NEEDS_LINK = ["idle", "busy", "invisible", "back", "pull"];

export class Person {
  /** The card, an element to put into the page. */
  root;

  #told;
  #parts;
  #cable = new Cable();
  #client;
  #others = new Map();
  #pulledAt = null;
  #lookedAway = null; // how long after the cable was pulled the others saw OFFLINE
  #note = "";
  #platform;
  #watched = [];

  /**
   * @param who `{userId, platform}`; the device id is the SDK's affair
   * @param told what the page wants to hear: `frame(userId, frame)`, `did(userId, action, statusText)`,
   *   `became(userId, state)`, `saw(userId, changes)`, `removed(userId)`; `learned(milliseconds)`, how long a
   *   grace period was; and `grace()`, which gives the grace period in milliseconds, or null if it is not known
   */
  constructor(who, told) {
    this.#told = told;
    this.#platform = who.platform;
    this.#client = new PresenceClient({ ...who, url: location.origin, WebSocket: this.#cable.WebSocket });
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

  get userId() {
    return this.#client.userId;
  }

  connect() {
    this.#client.connect();
    this.#watch();
  }

  /** See exactly these users. */
  setOthers(userIds) {
    this.#watched = userIds.filter((userId) => userId !== this.userId).sort((a, b) => a - b);
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
    this.#showFreshness();
    for (const { userId, parts } of this.#others.values()) this.#showSeen(this.#client.view.get(userId), parts);
  }

  // --- acting -----------------------------------------------------------------------------------------------

  #act(action) {
    const actions = {
      idle: () => this.#idle(),
      busy: () => this.#set("busy", "BUSY", { statusText: this.#parts["status-text"].value.trim() || undefined }),
      invisible: () => this.#set("invisible", "OFFLINE"),
      back: () => this.#back(),
      pull: () => this.#pull(),
      reconnect: () => this.#reconnect(),
      leave: () => this.#leave(),
      remove: () => this.#remove(),
    };
    actions[action]();
  }

  #idle() {
    const idle = !this.#isIdle();
    this.#client.activity(idle).catch((error) => this.#say(error.message));
    this.#told.did(this.userId, idle ? "idle" : "active");
  }

  #set(action, status, options = {}) {
    this.#client.setStatus(status, options).catch((error) => this.#say(error.message));
    this.#told.did(this.userId, action, options.statusText);
  }

  #back() {
    if (this.#isIdle()) this.#client.activity(false);
    this.#set("back", null);
  }

  #pull() {
    this.#pulledAt = Date.now();
    this.#lookedAway = null;
    this.#cable.pull();
    this.#showGrace();
  }

  #reconnect() {
    this.#cable.plugIn();
    this.#client.reconnectNow();
    this.#watch();
    this.#told.did(this.userId, "connect");
  }

  #leave() {
    this.#pulledAt = null;
    this.#client.bye();
    this.#showGrace();
    this.#told.did(this.userId, "leave");
  }

  #remove() {
    this.#client.bye();
    this.#told.removed(this.userId);
  }

  #isIdle() {
    return Boolean(this.#client.self?.devices.find(({ deviceId }) => deviceId === this.#client.deviceId)?.idle);
  }

  // --- showing ----------------------------------------------------------------------------------------------

  #build() {
    const { root, parts } = fromTemplate("person-template");
    this.root = root;
    this.#parts = parts;
    const { userId } = this;
    root.dataset.testid = `person-${userId}`;
    for (const [name, element] of Object.entries(parts)) element.dataset.testid = `${name}-${userId}`;
    for (const button of root.querySelectorAll("[data-action]")) {
      button.dataset.testid = `${button.dataset.action}-${userId}`;
    }
    parts.name.textContent = String(userId);
    parts.name.id = `name-${userId}`;
    root.setAttribute("aria-labelledby", parts.name.id);
    parts["status-group"].setAttribute("aria-label", `Status of ${userId}`);
    parts["link-group"].setAttribute("aria-label", `Connection of ${userId}`);
    parts["status-text"].setAttribute("aria-label", `Status text of ${userId}`);
    parts["grace-bar"].setAttribute("aria-label", `Grace period of ${userId}`);
    parts.remove.setAttribute("aria-label", `Remove ${userId}`);
    parts.remove.title = `Remove ${userId}`;
    parts["sees-title"].textContent = `${userId} sees`;
    parts.platform.textContent = this.#platform;
    showAvatar(parts.avatar, userId);
    this.#showTruth();
    this.#showLink();
  }

  #listen() {
    this.root.addEventListener("click", (event) => {
      const button = event.target.closest("[data-action]");
      if (button && button.getAttribute("aria-disabled") !== "true") this.#act(button.dataset.action);
    });
    this.#parts["status-text"].addEventListener("keydown", (event) => {
      if (event.key === "Enter" && this.#client.state === "online") this.#act("busy");
    });
    const client = this.#client;
    client.addEventListener("frame", ({ detail }) => this.#told.frame(this.userId, detail));
    client.addEventListener("state", ({ detail }) => this.#became(detail));
    client.addEventListener("self", () => this.#showTruth());
    client.addEventListener("stale", () => this.#showOthers());
    client.addEventListener("error", ({ detail }) => this.#say(detail.message));
    client.addEventListener("change", ({ detail }) => {
      this.#showOthers(new Set(detail.changes.map(({ userId }) => userId)));
      this.#told.saw(this.userId, detail.changes);
    });
  }

  #became({ state, continued, resumed }) {
    if (state === "online") {
      const went = continued ? "the session continued" : "a new session";
      this.#note = resumed ? `${went}, the view resumed` : went;
      this.#pulledAt = null;
      this.#showGrace();
    }
    setText(this.#parts.device, this.deviceId ?? "");
    this.#told.became(this.userId, state);
    this.#showLink();
    this.#showTruth();
    this.#showFreshness();
  }

  #say(message) {
    this.#note = message;
    this.#showTruth();
  }

  #showLink() {
    const { state, nextTryAt, closeCode, closeReason } = this.#client;
    const waiting = nextTryAt === null ? "" : `next try in ${duration(nextTryAt - Date.now() + 999)}`;
    const texts = {
      connecting: "connecting",
      online: "connected",
      waiting: this.#cable.isOut ? `cable pulled, ${waiting}` : waiting,
      closed: closeCode === null ? "not connected" : `closed: ${closeCode} ${closeReason}`.trim(),
    };
    setText(this.#parts["link-text"], texts[state]);
    this.#parts.link.dataset.state = state;
    this.root.dataset.state = state;
    const isOnline = state === "online";
    for (const button of this.root.querySelectorAll("[data-action]")) {
      const { action } = button.dataset;
      const usable = NEEDS_LINK.includes(action)
        ? isOnline
        : action === "reconnect"
          ? !isOnline
          : action !== "leave" || state !== "closed";
      // Not `disabled`: that would take the focus away from whoever just pressed it.
      button.setAttribute("aria-disabled", String(!usable));
    }
  }

  #showTruth() {
    const { self, state } = this.#client;
    const status = state === "closed" ? "OFFLINE" : (self?.status ?? "OFFLINE");
    showStatus(this.#parts.truth, status);
    this.#parts.avatar.dataset.status = status;
    this.#press("idle", this.#isIdle());
    this.#press("busy", self?.override?.status === "BUSY");
    this.#press("invisible", self?.override?.status === "OFFLINE");
    setText(this.#parts.note, this.#truthNote());
  }

  #truthNote() {
    const { self, state } = this.#client;
    if (state === "closed" || !self) return "";
    const notes = [];
    if (self.override?.status === "OFFLINE") notes.push("invisible, but here");
    if (self.override?.statusText) notes.push(`“${self.override.statusText}”`);
    if (self.devices.length > 1) notes.push(`${self.devices.length} devices`);
    if (this.#isIdle()) notes.push("idle here");
    if (this.#note) notes.push(this.#note);
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
    const over = this.#lookedAway !== null;
    grace.dataset.over = String(over);
    bar.hidden = period === null;
    bar.value = over || period === null ? 0 : Math.max(0, 1 - gone / period);
    const left = period === null ? "" : ` for ${(Math.max(0, period - gone) / 1000).toFixed(1)} s`;
    setText(
      text,
      over
        ? `Grace is over: the others saw ${this.userId} go offline after ${(this.#lookedAway / 1000).toFixed(1)} s.`
        : `Gone for ${(gone / 1000).toFixed(1)} s. The others see no change${left}.`,
    );
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
    root.dataset.testid = `sees-${this.userId}-${userId}`;
    for (const [name, element] of Object.entries(parts)) {
      element.dataset.testid = `sees-${this.userId}-${userId}-${name}`;
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
    parts.avatar.dataset.status = status;
    if (entry) showStatus(parts.status, status);
    else setText(parts.status, "not known yet");
    parts.platforms.replaceChildren(...(entry?.platforms ?? []).map(chip));
    setText(parts.said, entry?.statusText ? `“${entry.statusText}”` : "");
    this.#showSeen(entry, parts);
    if (changed) root.classList.add("changed");
  }

  #showSeen(entry, { seen }) {
    const time = entry?.lastActiveTime;
    if (time) {
      const said = entry.status === "OFFLINE" ? "last seen" : entry.status === "AWAY" ? "idle, active" : "";
      setText(seen, said && `${said} ${ago(Date.now() - Date.parse(time))}`);
      if (seen.dateTime !== time) seen.dateTime = time;
      seen.title = new Date(time).toLocaleString();
    } else {
      setText(seen, entry?.status === "OFFLINE" ? "never seen" : "");
      seen.removeAttribute("title");
    }
  }

  #showFreshness() {
    const { stale, staleSince } = this.#client.view;
    this.#parts.sees.dataset.stale = String(stale);
    const since = staleSince === null ? "" : ` for ${duration(Date.now() - staleSince)}`;
    setText(this.#parts.freshness, stale ? `stale${since}` : "live");
  }
}

/** "10002: Busy" */
export function said({ userId, status }) {
  return `${userId}: ${STATUSES[status].en}`;
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
