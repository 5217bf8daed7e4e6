/** A meeting of 20 seconds that can be dragged onto a person: a claim of the calendar, which is seen to begin and end. */

import { say } from "./language.js";
import { inPath } from "./user_ids.js";

const KIND = "application/x-presence-meeting";
const LASTS = 20_000;
const CLAIMS = new URL("api/v1/presence/claims/", document.baseURI);

/** `element` can be dragged. */
export function isMeeting(element) {
  element.addEventListener("dragstart", ({ dataTransfer }) => {
    dataTransfer.setData(KIND, "meeting");
    dataTransfer.effectAllowed = "copy";
  });
}

/** What is dropped onto `root` is claimed of the user; `complain(words)` hears why it was refused. */
export function takesMeetings(root, userId, complain) {
  root.addEventListener("dragover", (event) => {
    if (event.dataTransfer.types.includes(KIND)) event.preventDefault();
  });
  root.addEventListener("drop", (event) => {
    if (!event.dataTransfer.types.includes(KIND)) return;
    event.preventDefault();
    claim(userId).catch(({ message }) => complain(message));
  });
}

async function claim(userId) {
  const until = new Date(Date.now() + LASTS).toISOString();
  const meeting = { id: "page", status: "BUSY", statusText: say("meeting"), statusEmoji: "📅", until };
  const url = new URL(`${inPath(userId)}/calendar`, CLAIMS);
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(url, { method: "PUT", headers, body: JSON.stringify({ claims: [meeting] }) });
  if (!answer.ok) throw new Error((await answer.json()).data.details[0]?.reason ?? answer.statusText);
}
