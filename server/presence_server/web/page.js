/**
 * The page: which devices are on it, and that each of them watches the users of all others.
 *
 * `?people=501,501,502` says whose devices are here (501 has two) and `?watch=503` whom they watch besides. Otherwise
 * the devices of this tab are kept in its sessionStorage; the SDK keeps their ids, so a reload continues their sessions.
 */

import { Curl } from "./curl.js";
import { Frames } from "./frames.js";
import { choose, language, say, translate } from "./language.js";
import { isMeeting } from "./meeting.js";
import { Person, said } from "./person.js";
import { compare, FIRST, keyOf, KIND, known, next as nextUserId, parse } from "./user_ids.js";
import { duration } from "./words.js";

const STORED = "presence.people";
/** Milliseconds between two looks at what passes with time: ages and countdowns. */
const TICK = 100;
/** More cards than these are shown smaller. */
const ROOMY = 6;

const people = new Map();
const left = new Set();
let watched = new Set();
let gracePeriod = Number(document.querySelector("meta[name=presence-grace-period]").content) * 1000 || null;

const frames = new Frames();
const curl = new Curl();
const form = document.getElementById("adder");
isMeeting(document.getElementById("meeting"));
const userField = document.getElementById("new-user");
const platformField = document.getElementById("new-platform");
const PLATFORMS = document.querySelector("meta[name=presence-platforms]").content.split(" ");
platformField.replaceChildren(...PLATFORMS.map((platform) => new Option(platform)));
if (KIND === "string") userField.inputMode = "text";
else userField.pattern = KIND === "number" ? "[1-9][0-9]{0,15}" : "[1-9][0-9]{0,18}";
if (KIND !== "number") userField.size = 14;
userField.addEventListener("input", () => userField.setCustomValidity(""));
const languageField = document.getElementById("language");
const announcer = document.getElementById("announcer");

const told = {
  frame: (person, frame) => frames.add(person, frame),
  did: (person, action, statusText) => curl.did(person.key, action, statusText),
  grace: () => gracePeriod,
  learned(milliseconds) {
    gracePeriod ??= milliseconds;
  },
  saw(person, changes) {
    const news = changes.filter(({ before, after }) => before && before.status !== after.status);
    for (const { after } of news) {
      if (after.status !== "OFFLINE") continue;
      for (const each of people.values()) if (each.userId === after.userId) each.wentOffline();
    }
    if (!news.length) return;
    announcer.textContent = say("saidSees", { user: person.name, news: news.map(({ after }) => said(after)).join(", ") });
  },
  became(person, state) {
    if (state === "closed") left.add(person.key);
    else left.delete(person.key);
    if (state === "online") showCurl();
    if (state !== "connecting") announcer.textContent = say(`said${state}`, { user: person.name });
    store();
  },
  another({ userId, who }) {
    forgetAddress();
    add({ userId, platform: PLATFORMS.find((platform) => platform !== who.platform) ?? who.platform }).connect();
    changed();
  },
  removed({ key, root }) {
    forgetAddress();
    const next = root.nextElementSibling ?? root.previousElementSibling;
    root.remove();
    people.delete(key);
    left.delete(key);
    (next?.querySelector("[data-action=remove]") ?? userField).focus();
    changed();
  },
};

/** A device of a user: the first has the user's id as its key, the others a number behind it. */
function add({ userId, platform = PLATFORMS[0] }) {
  let number = 1;
  while (people.has(keyOf(userId, number))) number++;
  const person = new Person({ userId, platform, userIds: KIND }, { key: keyOf(userId, number), number }, told);
  const siblings = [...people.values()].filter((each) => each.userId === userId);
  people.set(person.key, person);
  const last = siblings.at(-1)?.root;
  if (last) last.after(person.root);
  else document.getElementById("people").append(person.root);
  return person;
}

/** The set of devices or of those watched changed: everybody sees everybody. */
function changed() {
  const list = [...people.values()];
  const ids = [...new Set(list.map(({ userId }) => userId))];
  for (const person of list) person.setOthers([...new Set([...ids, ...watched])]);
  frames.setPeople(list);
  showCurl();
  document.getElementById("people").dataset.density = list.length > ROOMY ? "many" : "few";
  document.body.dataset.density = list.length > ROOMY ? "many" : "few";
  document.getElementById("nobody").hidden = list.length > 0;
  userField.value = nextUserId([...ids, ...watched]);
  showWatched();
  store();
}

/** A device that has not been connected yet has no id; the lines then bring one of their own online. */
function showCurl() {
  curl.setPeople(
    [...people.values()].map(({ key, name, who, deviceId }) => ({ key, name, ...who, deviceId: deviceId ?? "curl" })),
  );
}

function showWatched() {
  const list = document.getElementById("watched");
  list.hidden = watched.size === 0;
  list.replaceChildren(
    ...[...watched].sort(compare).map((userId) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.className = "button small";
      button.textContent = `${say("alsoWatching", { user: userId })} ×`;
      button.dataset.testid = `unwatch-${userId}`;
      button.title = say("unwatch", { user: userId });
      button.addEventListener("click", () => {
        forgetAddress();
        watched.delete(userId);
        changed();
        userField.focus();
      });
      item.append(button);
      return item;
    }),
  );
}

/** What the address asked for is done: a reload is to bring back what is here now. */
function forgetAddress() {
  if (location.search) history.replaceState(null, "", location.pathname);
}

function speak() {
  announcer.textContent = "";
  document.documentElement.lang = language();
  document.title = say("title");
  languageField.value = language();
  translate(document);
  const grace = gracePeriod === null ? "" : duration(gracePeriod + 999);
  document.getElementById("try").textContent = grace ? say("try", { grace }) : say("tryUnknown");
  for (const person of people.values()) person.speak();
  changed();
}

function store() {
  const kept = [...people.values()].map((person) => ({ ...person.who, left: left.has(person.key) }));
  sessionStorage.setItem(STORED, JSON.stringify({ people: kept, watched: [...watched] }));
}

function restore() {
  const stored = parsed(sessionStorage.getItem(STORED)) ?? { people: FIRST.map((userId) => ({ userId })), watched: [] };
  const asked = new URLSearchParams(location.search);
  if (asked.has("watch")) stored.watched = [...new Set(userIds(asked.get("watch")))];
  if (asked.has("people")) {
    const known = [...stored.people];
    stored.people = userIds(asked.get("people")).map((userId) => {
      const at = known.findIndex((who) => who.userId === userId);
      return at === -1 ? { userId } : known.splice(at, 1)[0];
    });
  }
  return stored;
}

function parsed(text) {
  try {
    const stored = JSON.parse(text);
    if (!Array.isArray(stored?.people) || !Array.isArray(stored.watched)) return null;
    const isHere = ({ userId, platform = PLATFORMS[0] }) => known([userId]).length > 0 && PLATFORMS.includes(platform);
    const kept = { people: stored.people.filter(isHere), watched: known(stored.watched) };
    return kept.people.length || !stored.people.length ? kept : null; // else of another kind: the server was told otherwise
  } catch {
    return null;
  }
}

function userIds(text) {
  return known(text.split(","));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const userId = parse(userField.value);
  userField.setCustomValidity(userId === null ? say(`noUserId_${KIND}`) : "");
  if (!userField.reportValidity()) return;
  forgetAddress();
  if (event.submitter?.value === "watch") {
    watched.add(userId);
    changed();
    return;
  }
  const person = add({ userId, platform: platformField.value });
  changed();
  person.connect();
  person.root.scrollIntoView({ block: "nearest" });
});

languageField.addEventListener("change", () => {
  forgetAddress();
  choose(languageField.value);
  speak();
});

document.getElementById("endpoint").textContent = new URL("api/v1/presence", document.baseURI).href.split("//")[1];

const stored = restore();
watched = new Set(stored.watched);
for (const who of stored.people) {
  const person = add(who);
  if (who.left) left.add(person.key);
}
const absent = new Set(left);
speak();
for (const person of people.values()) if (!absent.has(person.key)) person.connect();
setInterval(() => {
  for (const person of people.values()) person.tick();
}, TICK);
