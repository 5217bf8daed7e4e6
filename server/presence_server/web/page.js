/**
 * The page: who is on it, and that all of them watch each other.
 *
 * `?people=10001,10002` says who is here and `?watch=10003` whom they watch besides. Otherwise the people of this
 * tab are kept in its sessionStorage; the SDK keeps their device ids, so a reload continues their sessions.
 */

import { Curl } from "./curl.js";
import { Frames } from "./frames.js";
import { Person, said } from "./person.js";

const STORED = "presence.people";
const FIRST = [10001, 10002];
/** Connection states for the ear. */
const SAID = { online: "connected", waiting: "without a connection", closed: "no longer connected" };
/** Milliseconds between two looks at what passes with time: ages and countdowns. */
const TICK = 100;

const people = new Map();
const left = new Set();
let watched = new Set();
let gracePeriod = Number(document.querySelector("meta[name=presence-grace-period]").content) * 1000 || null;

const frames = new Frames();
const curl = new Curl();
const form = document.getElementById("adder");
const userField = document.getElementById("new-user");
const platformField = document.getElementById("new-platform");
const announcer = document.getElementById("announcer");

const told = {
  frame: (userId, frame) => frames.add(userId, frame),
  did: (userId, action, statusText) => curl.did(userId, action, statusText),
  grace: () => gracePeriod,
  learned(milliseconds) {
    gracePeriod ??= milliseconds;
  },
  saw(userId, changes) {
    const news = changes.filter(({ before, after }) => before && before.status !== after.status);
    for (const { after } of news) if (after.status === "OFFLINE") people.get(after.userId)?.wentOffline();
    if (news.length) announcer.textContent = `${userId} sees ${news.map(({ after }) => said(after)).join(", ")}`;
  },
  became(userId, state) {
    if (state === "closed") left.add(userId);
    else left.delete(userId);
    if (state === "online") showCurl();
    if (state !== "connecting") announcer.textContent = `${userId} is ${SAID[state]}`;
    store();
  },
  removed(userId) {
    const { root } = people.get(userId);
    const next = root.nextElementSibling ?? root.previousElementSibling;
    root.remove();
    people.delete(userId);
    left.delete(userId);
    (next?.querySelector("button:not([aria-disabled=true])") ?? userField).focus();
    changed();
  },
};

function add({ userId, platform = "WEB" }) {
  const person = new Person({ userId, platform }, told);
  people.set(userId, person);
  document.getElementById("people").append(person.root);
  return person;
}

/** The set of people or of those watched changed: everybody sees everybody. */
function changed() {
  const ids = [...people.keys()];
  for (const person of people.values()) person.setOthers([...new Set([...ids, ...watched])]);
  frames.setPeople(ids);
  showCurl();
  document.getElementById("nobody").hidden = ids.length > 0;
  userField.value = String(Math.max(FIRST[0] - 1, ...ids, ...watched) + 1);
  showWatched();
  store();
}

/** A person who has not been connected yet has no device; the lines then bring one of their own online. */
function showCurl() {
  curl.setPeople([...people.values()].map(({ who, deviceId }) => ({ ...who, deviceId: deviceId ?? "curl" })));
}

function showWatched() {
  const list = document.getElementById("watched");
  list.hidden = watched.size === 0;
  list.replaceChildren(
    ...[...watched].map((userId) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.className = "button small";
      button.textContent = `also watching ${userId} ×`;
      button.dataset.testid = `unwatch-${userId}`;
      button.setAttribute("aria-label", `Stop watching ${userId}`);
      button.addEventListener("click", () => {
        watched.delete(userId);
        changed();
        userField.focus();
      });
      item.append(button);
      return item;
    }),
  );
}

function store() {
  const kept = [...people.values()].map((person) => ({ ...person.who, left: left.has(person.userId) }));
  sessionStorage.setItem(STORED, JSON.stringify({ people: kept, watched: [...watched] }));
}

function restore() {
  const stored = parsed(sessionStorage.getItem(STORED)) ?? { people: FIRST.map((userId) => ({ userId })), watched: [] };
  const asked = new URLSearchParams(location.search);
  if (asked.has("watch")) stored.watched = userIds(asked.get("watch"));
  if (asked.has("people")) {
    const known = new Map(stored.people.map((who) => [who.userId, who]));
    stored.people = userIds(asked.get("people")).map((userId) => known.get(userId) ?? { userId });
  }
  return stored;
}

function parsed(text) {
  try {
    const stored = JSON.parse(text);
    return Array.isArray(stored?.people) && Array.isArray(stored.watched) ? stored : null;
  } catch {
    return null;
  }
}

function userIds(text) {
  return [...new Set(text.split(",").map(Number))].filter((userId) => Number.isSafeInteger(userId) && userId > 0);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const userId = Number(userField.value);
  if (!Number.isSafeInteger(userId) || userId < 1) return;
  if (event.submitter?.value === "watch") {
    watched.add(userId);
    changed();
  } else if (people.has(userId)) {
    people.get(userId).root.scrollIntoView({ block: "nearest" });
  } else {
    const person = add({ userId, platform: platformField.value });
    changed();
    person.connect();
  }
});

document.getElementById("endpoint").textContent = `${location.host}/api/v1/presence`;

const stored = restore();
watched = new Set(stored.watched);
for (const who of stored.people) {
  add(who);
  if (who.left) left.add(who.userId);
}
changed();
for (const { userId, left: isLeft } of stored.people) if (!isLeft) people.get(userId).connect();
setInterval(() => {
  for (const person of people.values()) person.tick();
}, TICK);
