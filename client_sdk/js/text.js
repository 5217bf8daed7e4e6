/**
 * Which characters a text that people read may hold: the table of `presence_protocol/text.py`, where the reasons stand.
 * Both run the vectors in `tests/vectors/text.json`.
 */

const REFUSED = [
  [0x0000, 0x001f, "a control character"],
  [0x007f, 0x009f, "a control character"],
  [0x2028, 0x2029, "a line separator"],
  [0x202a, 0x202e, "a bidirectional control"],
  [0x2066, 0x2069, "a bidirectional control"],
  [0xd800, 0xdfff, "a surrogate"],
  [0xfdd0, 0xfdef, "not a character"],
];

function kindOf(point) {
  if ((point & 0xfffe) === 0xfffe) return "not a character"; // the last two of each plane
  return REFUSED.find(([first, last]) => first <= point && point <= last)?.[2];
}

/** The reason why a text is not taken, naming the first character at fault as `U+202E`; null if it is taken. */
export function refusal(text) {
  for (const character of text) {
    const point = character.codePointAt(0);
    const kind = kindOf(point);
    if (kind) return `must not hold U+${point.toString(16).toUpperCase().padStart(4, "0")}, ${kind}`;
  }
  return null;
}

/** Throws RangeError, naming the field, unless `text` is a string of `least` to `most` characters, all of them taken. */
export function checkText(field, text, least, most) {
  const length = typeof text === "string" ? [...text].length : -1;
  if (length < least || length > most) {
    const range = least ? `${least} to ${most}` : `at most ${most}`;
    throw new RangeError(`${field}: must be a string of ${range} characters`);
  }
  const reason = refusal(text);
  if (reason) throw new RangeError(`${field}: ${reason}`);
  return text;
}
