/** Statuses, ages and times, as the page shows them, and the copies of its templates. */

import { say, translate } from "./language.js";
import { badge } from "./user_ids.js";

/** Fill `element` with a status: its mark and its name. */
export function showStatus(element, status) {
  element.dataset.status = status;
  const mark = document.createElement("span");
  mark.className = "mark";
  const name = document.createElement("span");
  name.textContent = say(status);
  element.replaceChildren(mark, name);
}

/** "4 s", "3 min", "2 h", "5 d". */
export function duration(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return say("seconds", { n: seconds });
  if (seconds < 3600) return say("minutes", { n: Math.floor(seconds / 60) });
  if (seconds < 86_400) return say("hours", { n: Math.floor(seconds / 3600) });
  return say("days", { n: Math.floor(seconds / 86_400) });
}

/** How long ago, as one says it. */
export function ago(milliseconds) {
  return milliseconds < 2000 ? say("justNow") : say("ago", { time: duration(milliseconds) });
}

/** "15:00:03.250", local. */
export function clockTime(milliseconds) {
  const date = new Date(milliseconds);
  const two = (number) => String(number).padStart(2, "0");
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return `${clock}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** Give `element` a user's colour and two characters of their id. */
export function showAvatar(element, userId) {
  const { letters, hue } = badge(userId);
  element.textContent = letters;
  element.dataset.hue = String(hue);
  element.setAttribute("aria-hidden", "true");
}

/** The named parts of a fresh copy of a template: `{root, parts}`. */
export function fromTemplate(id) {
  const root = document.getElementById(id).content.firstElementChild.cloneNode(true);
  const parts = {};
  for (const element of root.querySelectorAll("[data-part]")) parts[element.dataset.part] = element;
  translate(root, { user: "" });
  return { root, parts };
}
