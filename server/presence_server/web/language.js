/** What the page says, in English and Chinese: chosen by `?lang=`, by the switch, or else by what the browser prefers. */

const STORED = "presence.language";

const ENGLISH = {
  title: "Presence",
  tagline: "A connection is the heartbeat.",
  try: "Try this: pull the cable of one card and look at the others. For {grace} nobody notices; then it is offline.",
  tryUnknown: "Try this: pull the cable of one card and look at the others. Nobody notices at first; then it is offline.",
  tryDevices: "Then add a second device to one user: whoever has one left stays online.",
  skip: "Skip to the devices",
  language: "Language",
  userId: "User id",
  noUserId_number: "An integer from 1 to 9007199254740991",
  noUserId_int64: "An integer from 1 to 9223372036854775807",
  noUserId_string: "1 to 64 characters, without a slash",
  platform: "Platform",
  add: "Add a device",
  addTitle: "A connection of its own for this user; a user may have several",
  watch: "Watch only",
  watchTitle: "All cards watch this user, who is connected elsewhere",
  people: "Devices",
  watched: "Also watched",
  unwatch: "Stop watching {user}",
  alsoWatching: "also watching {user}",
  nobody: "No device is here. Add one above.",
  frames: "Frames",
  framesLabel: "Frames, newest first",
  framesEmpty: "Nothing went by yet.",
  out: "to the server",
  in: "from the server",
  whoseFrames: "Whose frames",
  everyone: "everyone",
  clearFrames: "Empty",
  curl: "The same with curl",
  forWhom: "For whom",
  apiPage: "API documentation",
  idle: "Idle",
  busy: "Busy",
  invisible: "Invisible",
  clear: "Clear status",
  clearTitle: "Take back Idle, Busy and Invisible",
  statusText: "Status text, goes with Busy",
  pull: "Pull the cable",
  reconnect: "Reconnect",
  leave: "Leave",
  device: "+ Device",
  deviceTitle: "Add another device of {user}",
  remove: "Remove {user}",
  statusOf: "Status of {user}",
  linkOf: "Connection of {user}",
  textOf: "Status text of {user}",
  graceOf: "Grace period of {user}",
  sees: "{user} sees",
  alone: "No other user to see.",
  ONLINE: "Online",
  AWAY: "Away",
  BUSY: "Busy",
  OFFLINE: "Offline",
  unknown: "not known yet",
  lastSeen: "last seen {ago}",
  idleSince: "idle, active {ago}",
  neverSeen: "never seen",
  lastSeen_today: "last seen today",
  lastSeen_this_week: "last seen this week",
  lastSeen_this_month: "last seen this month",
  lastSeen_earlier: "last seen more than a month ago",
  justNow: "just now",
  ago: "{time} ago",
  seconds: "{n} s",
  minutes: "{n} min",
  hours: "{n} h",
  days: "{n} d",
  live: "live",
  stale: "stale for {time}",
  staleOnly: "stale",
  connecting: "connecting",
  online: "connected",
  waiting: "next try in {time}",
  pulled: "cable pulled, next try in {time}",
  closed: "closed: {code} {reason}",
  notConnected: "not connected",
  noWebSockets: "no WebSockets",
  proxyWithoutWebSockets:
    "The proxy does not pass WebSockets: the server answers over HTTP, and no WebSocket opens. See “Behind a proxy” in docs/operations.md, then press Reconnect.",
  originRefused:
    "The server refuses this page's origin: the proxy must pass the Host header on, or allowed_origins must name the origin. Then press Reconnect.",
  noToken: "This page has no token: it is for trying a server that runs with --auth none.",
  continued: "the session continued",
  newSession: "a new session",
  resumed: "the view resumed",
  invisibleHere: "invisible, but here",
  claimedBy: "shown so by {source}",
  meeting: "Meeting",
  meetingToDrag: "📅 Meeting of 20 s",
  meetingTitle: "Drag it onto a person: a claim of the calendar, which ends by itself",
  devices: "{n} devices",
  idleHere: "idle here",
  gone: "this device is offline",
  goneOthersStay: "this device is offline; {user} has others",
  lastKnown: "as it was before the connection was lost",
  graceRuns: "Gone for {time} s. The others see no change for {left} s.",
  graceRunsUnknown: "Gone for {time} s. The others see no change.",
  graceSeen: "Grace is over: the others saw {user} go offline after {time} s.",
  graceOver: "Grace is over: this device is offline. {user} has others.",
  graceOverAlone: "Grace is over: this device is offline.",
  saidSees: "{user} sees {news}",
  saidIs: "{user}: {status}",
  saidonline: "{user} is connected",
  saidwaiting: "{user} is without a connection",
  saidclosed: "{user} is no longer connected",
  copy: "Copy",
  copied: "Copied",
  selected: "Selected",
  goIdle: "Go idle",
  goActive: "Be active again",
  goOffline: "Leave",
  comeOnline: "Come online",
  turnInvisible: "Turn invisible",
  clearStatus: "Clear the status",
  beBusy: "Be busy",
  seeOthers: "See what others see",
};

const CHINESE = {
  title: "在线状态",
  tagline: "连接就是心跳。",
  try: "试一试：拔掉一张卡片的网线，看看其他卡片。{grace}之内没有人察觉，之后它显示为离线。",
  tryUnknown: "试一试：拔掉一张卡片的网线，看看其他卡片。起初没有人察觉，之后它显示为离线。",
  tryDevices: "再给同一个用户添加第二台设备：只要还有一台设备在线，该用户就在线。",
  skip: "跳到设备列表",
  language: "语言",
  userId: "用户 ID",
  noUserId_number: "1 到 9007199254740991 的整数",
  noUserId_int64: "1 到 9223372036854775807 的整数",
  noUserId_string: "1 到 64 个字符，不含斜杠",
  platform: "平台",
  add: "添加设备",
  addTitle: "为该用户建立一个独立的连接；一个用户可以有多台设备",
  watch: "仅关注",
  watchTitle: "所有卡片都关注该用户，该用户在别处连接",
  people: "设备",
  watched: "另外关注",
  unwatch: "取消关注 {user}",
  alsoWatching: "另外关注 {user}",
  nobody: "这里没有设备。请在上面添加。",
  frames: "消息帧",
  framesLabel: "消息帧，最新的在最上面",
  framesEmpty: "还没有消息。",
  out: "发往服务器",
  in: "来自服务器",
  whoseFrames: "谁的消息帧",
  everyone: "全部",
  clearFrames: "清空",
  curl: "用 curl 做同样的事",
  forWhom: "以谁的身份",
  apiPage: "API 文档",
  idle: "空闲",
  busy: "忙碌",
  invisible: "隐身",
  clear: "清除状态",
  clearTitle: "取消空闲、忙碌和隐身",
  statusText: "状态文字，随“忙碌”一起设置",
  pull: "拔掉网线",
  reconnect: "重新连接",
  leave: "下线",
  device: "+ 设备",
  deviceTitle: "为 {user} 再添加一台设备",
  remove: "移除 {user}",
  statusOf: "{user} 的状态",
  linkOf: "{user} 的连接",
  textOf: "{user} 的状态文字",
  graceOf: "{user} 的宽限期",
  sees: "{user} 看到的",
  alone: "没有其他用户。",
  ONLINE: "在线",
  AWAY: "离开",
  BUSY: "忙碌",
  OFFLINE: "离线",
  unknown: "尚不知道",
  lastSeen: "最后在线：{ago}",
  idleSince: "空闲，{ago}活跃",
  neverSeen: "从未上线",
  lastSeen_today: "今天上线过",
  lastSeen_this_week: "本周上线过",
  lastSeen_this_month: "本月上线过",
  lastSeen_earlier: "一个多月前上线过",
  justNow: "刚刚",
  ago: "{time}前",
  seconds: "{n} 秒",
  minutes: "{n} 分钟",
  hours: "{n} 小时",
  days: "{n} 天",
  live: "实时",
  stale: "已过时 {time}",
  staleOnly: "已过时",
  connecting: "正在连接",
  online: "已连接",
  waiting: "{time}后重试",
  pulled: "网线已拔掉，{time}后重试",
  closed: "已关闭：{code} {reason}",
  notConnected: "未连接",
  noWebSockets: "没有 WebSocket",
  proxyWithoutWebSockets:
    "代理不转发 WebSocket：服务器可以通过 HTTP 访问，但 WebSocket 打不开。请看 docs/operations.md 的“Behind a proxy”一节，然后按“重新连接”。",
  originRefused: "服务器拒绝本页面的来源：代理必须原样转发 Host 头，或者在 allowed_origins 中列出该来源。然后按“重新连接”。",
  noToken: "本页面没有令牌：它用于试用以 --auth none 运行的服务器。",
  continued: "会话已继续",
  newSession: "新的会话",
  resumed: "视图已恢复",
  invisibleHere: "隐身，但在这里",
  claimedBy: "由 {source} 决定",
  meeting: "会议",
  meetingToDrag: "📅 20 秒的会议",
  meetingTitle: "拖到一个人身上：一个日历声明，会自己结束",
  devices: "{n} 台设备",
  idleHere: "本设备空闲",
  gone: "本设备已离线",
  goneOthersStay: "本设备已离线；{user} 还有其他设备",
  lastKnown: "连接断开之前的状态",
  graceRuns: "已断开 {time} 秒。还有 {left} 秒其他人看不到变化。",
  graceRunsUnknown: "已断开 {time} 秒。其他人看不到变化。",
  graceSeen: "宽限期已过：其他人在 {time} 秒后看到 {user} 离线。",
  graceOver: "宽限期已过：本设备已离线。{user} 还有其他设备。",
  graceOverAlone: "宽限期已过：本设备已离线。",
  saidSees: "{user} 看到 {news}",
  saidIs: "{user}：{status}",
  saidonline: "{user} 已连接",
  saidwaiting: "{user} 没有连接",
  saidclosed: "{user} 不再连接",
  copy: "复制",
  copied: "已复制",
  selected: "已选中",
  goIdle: "进入空闲",
  goActive: "恢复活跃",
  goOffline: "下线",
  comeOnline: "上线",
  turnInvisible: "隐身",
  clearStatus: "清除状态",
  beBusy: "设为忙碌",
  seeOthers: "查看其他人看到的状态",
};

/** By language, and by key. */
export const WORDS = { en: ENGLISH, zh: CHINESE };
const ATTRIBUTES = { label: "aria-label", title: "title", placeholder: "placeholder", empty: "data-empty" };

let chosen = first();

/** "en" or "zh". */
export function language() {
  return chosen;
}

/** Speak this language from now on, and after a reload. Whoever shows words shows them anew. */
export function choose(name) {
  chosen = name;
  try {
    localStorage.setItem(STORED, name);
  } catch {
    // No storage here: the choice lasts as long as the page.
  }
}

/** The words for `key`, with `{name}` replaced by what `values` has under it. */
export function say(key, values = {}) {
  return WORDS[chosen][key].replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** Fill what names its words by itself: `data-say`, `data-say-label`, `-title`, `-placeholder`, `-empty`. */
export function translate(root, values = {}) {
  for (const element of root.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say, values);
  for (const [name, attribute] of Object.entries(ATTRIBUTES)) {
    for (const element of root.querySelectorAll(`[data-say-${name}]`)) {
      element.setAttribute(attribute, say(element.getAttribute(`data-say-${name}`), values));
    }
  }
}

function first() {
  const asked = new URLSearchParams(location.search).get("lang");
  if (Object.hasOwn(WORDS, asked)) return asked;
  try {
    const stored = localStorage.getItem(STORED);
    if (Object.hasOwn(WORDS, stored)) return stored;
  } catch {
    // As above.
  }
  return navigator.language.startsWith("zh") ? "zh" : "en";
}
