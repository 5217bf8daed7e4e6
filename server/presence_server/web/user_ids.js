/** The user ids that the server speaks (`--user-ids`), as it tells the page: how they are typed, spelt, ordered and shown. */

import { checkId } from "../sdk/values.js";

/** "number", "int64" (a string of digits here, since a number would be rounded) or "string". */
export const KIND = document.querySelector("meta[name=presence-user-ids]").content || "number";

/**
 * Who is on the page at first. Not those of the API document or of the README: what is tried there must not meet what is
 * tried here.
 */
export const FIRST = { number: [501, 502], int64: ["7300000000000000501", "7300000000000000502"], string: ["ann", "bob"] }[KIND];

const NAMES = ["ann", "bob", "cho", "dee", "eve", "fay", "gus", "hua", "ian", "joy", "kim", "lea"];
const HUES = 6;

/** The id that a text spells; null: none. */
export function parse(text) {
  const spelt = KIND === "number" && /^[1-9][0-9]{0,15}$/.test(text) ? Number(text) : text;
  try {
    return checkId("userId", spelt, KIND);
  } catch {
    return null;
  }
}

/** The ids of a list that holds ids, or what is no id any more since the server was told otherwise. */
export function known(ids) {
  return ids.map((userId) => parse(String(userId))).filter((userId) => userId !== null);
}

/** For sorting. */
export function compare(a, b) {
  if (KIND === "string") return a < b ? -1 : a > b ? 1 : 0;
  return BigInt(a) < BigInt(b) ? -1 : BigInt(a) > BigInt(b) ? 1 : 0;
}

/** One that is not among `ids`, to be offered next. */
export function next(ids) {
  if (KIND !== "string") {
    return String([BigInt(FIRST[0]) - 1n, ...ids.map(BigInt)].reduce((most, each) => (each > most ? each : most)) + 1n);
  }
  const taken = new Set(ids);
  const numbered = (number) => (taken.has(`user-${number}`) ? numbered(number + 1) : `user-${number}`);
  return NAMES.find((name) => !taken.has(name)) ?? numbered(1);
}

/** What the card of a user's device is told by: the first has the user's id, the others a number behind it. */
export function keyOf(userId, number) {
  if (number === 1) return String(userId);
  return `${userId}${KIND === "string" ? "/" : "."}${number}`; // no id holds a slash
}

/** The part of an id that stands in a path. */
export function inPath(userId) {
  return encodeURIComponent(userId).replace(/[!'()*]/g, (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** Two characters that tell a user from most others, and one of six hues. */
export function badge(userId) {
  const text = String(userId);
  if (KIND !== "string") return { letters: text.slice(-2), hue: Number(BigInt(userId) % BigInt(HUES)) };
  const letters = [...new Intl.Segmenter().segment(text)].slice(0, 2).map(({ segment }) => segment);
  return { letters: letters.join(""), hue: [...text].reduce((sum, letter) => sum + letter.codePointAt(0), 0) % HUES };
}
