/** Times as clients may give them. `parse_time` of `presence_protocol/fields.py` runs the same vectors, `times.json`. */

const TIME =
  /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))$/;

/**
 * Whole seconds since 1970 of an RFC 3339 time such as "2025-11-09T15:00:00Z", which may have a fraction, rounded up,
 * and an offset such as "+08:00" in place of "Z". null for anything written otherwise.
 */
export function parseTime(text) {
  const found = TIME.exec(text);
  if (!found) return null;
  const [year, month, day, hour, minute, second] = found.slice(1, 7).map(Number);
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day); // `Date.UTC` takes the years below 100 for others
  date.setUTCHours(hour, minute, second);
  const wanted = `${found[1]}-${found[2]}-${found[3]}T${found[4]}:${found[5]}:${found[6]}`;
  if (year < 1 || date.toISOString().slice(0, 19) !== wanted) return null; // 30 February, 24 o'clock
  const [, , , , , , , fraction, sign, hours, minutes] = found;
  const offset = sign ? Number(`${sign}1`) * (Number(hours) * 3600 + Number(minutes) * 60) : 0;
  return date.getTime() / 1000 - offset + (Number(fraction ?? 0) > 0 ? 1 : 0);
}

/** Seconds since 1970 as the protocol has times. */
export function formatTime(seconds) {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
}
