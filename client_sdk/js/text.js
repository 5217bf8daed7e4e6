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

const MARK =
  "\\u0300-\\u036f\\u0483-\\u0489\\u1ab0-\\u1aff\\u1dc0-\\u1dff\\u20d0-\\u20ff\\ufe00-\\ufe0f\\ufe20-\\ufe2f" +
  "\\u{1f3fb}-\\u{1f3ff}\\u{e0020}-\\u{e007f}\\u{e0100}-\\u{e01ef}";
const UNSEEN =
  "\\u0020\\u00a0\\u00ad\\u061c\\u115f\\u1160\\u1680\\u17b4\\u17b5\\u180b-\\u180f\\u2000-\\u200f\\u202f\\u205f-\\u206f" +
  "\\u2800\\u3000\\u3164\\ufeff\\uffa0";
const FLAG = "[\\u{1f1e6}-\\u{1f1ff}]";
const PICTURE = `(?!${FLAG})[\\u203c-\\u2fff\\u3030\\u303d\\u3297\\u3299\\u{1f000}-\\u{1fffd}][${MARK}]*`;
const ONE_EMOJI = new RegExp(
  `^(?:${FLAG}{1,2}[${MARK}]*|${PICTURE}(?:\\u200d${PICTURE})*|[^${UNSEEN}${MARK}][${MARK}]*|[\\u{1f3fb}-\\u{1f3ff}])$`,
  "u",
);
const SHORT_CODE = /^:[A-Za-z0-9_+-]{1,62}:$/;
const MAX_STATUS_EMOJI = 32;

/** Whether a text may be a status emoji, as `is_one_emoji` of the same file tells it; runs `tests/vectors/emoji.json`. */
export function isStatusEmoji(text) {
  if (text === "" || SHORT_CODE.test(text)) return true;
  const bytes = new TextEncoder().encode(text).length;
  return bytes <= MAX_STATUS_EMOJI && refusal(text) === null && ONE_EMOJI.test(text);
}
