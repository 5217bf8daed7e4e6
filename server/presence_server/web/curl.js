/** What a person just did over the socket, as lines for a terminal. */

import { say } from "./language.js";
import { inPath } from "./user_ids.js";
import { fromTemplate } from "./words.js";

const BASE = new URL("api/v1/presence", document.baseURI).href;

/** `{userId, deviceId, platform}` -> the three lines, given what was done last (see `Curl.did`). */
function lines({ userId, deviceId, platform }, { action, statusText }) {
  const device = { userId, deviceId };
  const busy = { status: "BUSY", ...(statusText && { statusText }) };
  const connected = {
    idle: () => ["goIdle", post("/online", { ...device, platform, idle: true })],
    active: () => ["goActive", post("/online", { ...device, platform, idle: false })],
    leave: () => ["goOffline", post("/offline", device)],
  };
  const override = {
    invisible: () => ["turnInvisible", put(userId, { status: "OFFLINE" })],
    clear: () => ["clearStatus", `curl -X DELETE ${BASE}/status/${inPath(userId)}`],
  };
  return [
    { slot: "device", ...named(connected[action]?.() ?? ["comeOnline", post("/online", { ...device, platform })]) },
    { slot: "status", ...named(override[action]?.() ?? ["beBusy", put(userId, busy)]) },
    { slot: "read", ...named(["seeOthers", `curl ${BASE}/status/${inPath(userId)}`]) },
  ];
}

function named([title, line]) {
  return { title: say(title), line };
}

function post(path, body) {
  return withBody("POST", `${BASE}${path}`, body);
}

function put(userId, body) {
  return withBody("PUT", `${BASE}/status/${inPath(userId)}`, body);
}

function withBody(method, url, body) {
  const quoted = JSON.stringify(body).replaceAll("'", "'\\''");
  return `curl -X ${method} ${url} \\\n  -H 'Content-Type: application/json' \\\n  -d '${quoted}'`;
}

const SLOT = { idle: "device", active: "device", leave: "device", connect: "device" };

export class Curl {
  #root = document.getElementById("rest");
  #of = document.getElementById("rest-of");
  #people = [];
  #last = { action: "connect", statusText: "" };
  #shown = new Map();

  constructor() {
    this.#of.addEventListener("change", () => {
      this.#last = { action: "connect", statusText: "" };
      this.#show();
    });
    for (const slot of ["device", "status", "read"]) this.#shown.set(slot, this.#make(slot));
  }

  /** These devices can be spoken for: `{key, name, userId, deviceId, platform}` each. */
  setPeople(people) {
    const chosen = this.#of.value;
    this.#people = people;
    this.#of.replaceChildren(...people.map(({ key, name }) => new Option(name, key)));
    if (people.some(({ key }) => key === chosen)) this.#of.value = chosen;
    this.#show();
  }

  /** A device did something: "idle", "active", "busy", "invisible", "clear", "leave" or "connect". */
  did(key, action, statusText = "") {
    this.#of.value = key;
    this.#last = { action, statusText };
    this.#show();
  }

  #show() {
    const person = this.#people.find(({ key }) => key === this.#of.value);
    this.#root.hidden = !person;
    if (!person) return;
    const { action } = this.#last;
    for (const { slot, title, line } of lines(person, this.#last)) {
      const { root, parts } = this.#shown.get(slot);
      parts.title.textContent = title;
      parts.line.textContent = line;
      root.classList.toggle("latest", slot === (SLOT[action] ?? "status"));
    }
  }

  #make(slot) {
    const made = fromTemplate("curl-template");
    made.root.dataset.testid = `curl-${slot}`;
    made.parts.line.dataset.testid = `curl-${slot}-line`;
    made.parts.copy.dataset.testid = `curl-${slot}-copy`;
    made.parts.copy.addEventListener("click", () => copy(made.parts));
    this.#root.append(made.root);
    return made;
  }
}

async function copy({ line, copy: button, title }) {
  let copied = say("copied");
  try {
    await navigator.clipboard.writeText(line.textContent);
  } catch {
    // No clipboard without HTTPS or a permission: select the text, so that it is one key press away.
    getSelection().selectAllChildren(line);
    copied = say("selected");
  }
  button.textContent = copied;
  button.setAttribute("aria-label", `${copied}: ${title.textContent}`);
  setTimeout(() => {
    button.textContent = say("copy");
    button.removeAttribute("aria-label");
  }, 1500);
}
