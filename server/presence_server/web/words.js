/** Names of statuses, ages and times, as the page says them. */

export const STATUSES = {
  ONLINE: { en: "Online", zh: "在线" },
  AWAY: { en: "Away", zh: "离开" },
  BUSY: { en: "Busy", zh: "忙碌" },
  OFFLINE: { en: "Offline", zh: "离线" },
};

/** Fill `element` with a status: its mark, English and Chinese name. */
export function showStatus(element, status) {
  element.dataset.status = status;
  const mark = document.createElement("span");
  mark.className = "mark";
  const english = document.createElement("span");
  english.textContent = STATUSES[status].en;
  const chinese = document.createElement("span");
  chinese.lang = "zh";
  chinese.className = "zh";
  chinese.textContent = STATUSES[status].zh;
  element.replaceChildren(mark, english, chinese);
}

/** "4 s", "3 min", "2 h", "5 d". */
export function duration(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** How long ago, as one says it. */
export function ago(milliseconds) {
  return milliseconds < 2000 ? "just now" : `${duration(milliseconds)} ago`;
}

/** "15:00:03.250", local. */
export function clockTime(milliseconds) {
  const date = new Date(milliseconds);
  const two = (number) => String(number).padStart(2, "0");
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return `${clock}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** Give `element` a user's colour and last two digits. */
export function showAvatar(element, userId) {
  element.textContent = String(userId).slice(-2);
  element.dataset.hue = String(userId % 6);
  element.setAttribute("aria-hidden", "true");
}

/** The named parts of a fresh copy of a template: `{root, parts}`. */
export function fromTemplate(id) {
  const root = document.getElementById(id).content.firstElementChild.cloneNode(true);
  const parts = {};
  for (const element of root.querySelectorAll("[data-part]")) parts[element.dataset.part] = element;
  return { root, parts };
}
