/** The frames that went by, newest first. */

import { say } from "./language.js";
import { clockTime, fromTemplate } from "./words.js";

/** More would only slow the page down. */
const KEPT = 200;

export class Frames {
  #log = document.getElementById("frames");
  #of = document.getElementById("frames-of");

  constructor() {
    this.#of.addEventListener("change", () => {
      for (const row of this.#log.children) this.#filter(row);
    });
    document.getElementById("frames-clear").addEventListener("click", () => this.#log.replaceChildren());
  }

  /** Offer these devices to choose from: `{key, name}` each. */
  setPeople(people) {
    const chosen = this.#of.value;
    this.#of.replaceChildren(new Option(say("everyone"), ""), ...people.map(({ key, name }) => new Option(name, key)));
    this.#of.value = people.some(({ key }) => key === chosen) ? chosen : "";
    this.#of.dispatchEvent(new Event("change"));
  }

  add({ key, name }, { direction, text, time }) {
    const { root, parts } = fromTemplate("frame-template");
    const { type, ...rest } = JSON.parse(text);
    root.dataset.user = key;
    root.dataset.direction = direction;
    root.dataset.testid = "frame";
    root.dataset.kind = type;
    parts.time.textContent = clockTime(time);
    parts.who.textContent = name;
    parts.direction.textContent = direction === "out" ? "↑" : "↓";
    parts.direction.setAttribute("aria-label", say(direction));
    parts.direction.setAttribute("role", "img");
    parts.kind.textContent = type;
    parts.body.textContent = inShort(type, rest);
    root.addEventListener("toggle", () => {
      parts.whole.textContent ||= JSON.stringify(JSON.parse(text), null, 2);
    });
    this.#filter(root);
    this.#log.prepend(root);
    while (this.#log.childElementCount > KEPT) this.#log.lastElementChild.remove();
  }

  #filter(row) {
    row.hidden = this.#of.value !== "" && this.#of.value !== row.dataset.user;
  }
}

/** A message in one line; all of it is a click away. */
function inShort(type, fields) {
  if (type === "welcome") {
    const { continued, resumed, self } = fields;
    return [`continued: ${continued}`, `resumed: ${resumed}`, ...(self ? [truth(self)] : [])].join(", ");
  }
  if (type === "self") return truth(fields);
  return Object.entries(fields)
    .map(([name, value]) => (Array.isArray(value) ? list(value) : `${name}: ${plain(name, value)}`))
    .join(", ");
}

function plain(name, value) {
  return JSON.stringify(name === "cursor" && value.length > 8 ? `${value.slice(0, 8)}…` : value);
}

/** Entries and ids say by themselves what they are. */
function list(values) {
  return values.length ? values.map((value) => (typeof value === "object" ? entry(value) : value)).join(", ") : "nobody";
}

function entry({ userId, status, platforms, statusText, statusEmoji }) {
  const text = (statusEmoji ? ` ${statusEmoji}` : "") + (statusText ? ` “${statusText}”` : "");
  return `${userId} ${[status, ...platforms].join(" ")}${text}`;
}

function truth({ status, override, statusBy, devices }) {
  const by = ["devices", "self"].includes(statusBy?.source ?? "self") ? "" : `, by ${statusBy.source}`;
  const set = (override ? `, set to ${override.status}` : "") + by;
  return `you: ${status}${set}, ${devices.length} ${devices.length === 1 ? "device" : "devices"}`;
}
