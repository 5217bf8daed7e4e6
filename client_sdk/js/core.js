/**
 * The client without I/O: which connection there is, what goes over it, and when there is another.
 *
 * Events come in as method calls, each with `now` (milliseconds of a clock that only goes forward); what is to be done
 * or told piles up and is fetched with `take()`. `deadline()` says when `tick` is due. There is no clock, no chance
 * and no socket in here: `client.js` runs it in a browser, a test on a clock of its own.
 *
 *     core.start(now)                    -> Open(link), or AskToken(link) first
 *     core.opened(link, now)             -> Send(link, hello)
 *     core.received(link, message, now)  -> Changed, Became, Settled, Send ...
 *     core.lost(link, End(...), now)     -> Became(waiting), and with a later tick(now) another Open
 *
 * Connections. `#main` is the one that is followed. A `#successor` is opened beside it when the server asks to move;
 * the one that it replaces owes its replies, and then is closed with 1001 (`#retired`). Whether and when to come back
 * is decided in `attempts.js`.
 *
 * Requests are numbered by tickets, and are never replayed: one that was sent and not answered fails with its
 * connection, since nobody knows whether it was carried out. What may be done twice is another matter: a query is
 * asked again; idleness, a level, goes with the next hello; the watch list is restored.
 *
 * A ticket is settled when the server was told, never before: what is asked while there is no connection, or between
 * hello and welcome, waits in `#waiting`, and what the hello said meanwhile is settled by its welcome.
 *
 * A caller may call anything from within what it is told: each method changes the state first, and only then says so.
 */

import { AskToken, Became, Changed, Close, Complained, ConnectionState, Open, Phase, SelfTold, Send, Settled } from "./actions.js";
import { Attempts, End, Policy } from "./attempts.js";
import { advice, CloseCode } from "./close_codes.js";
import { Conversation, State, Verdict } from "./conversation.js";
import { ConnectionClosed, NotConnected, RequestFailed, RequestTimedOut } from "./errors.js";
import { formatTime } from "./times.js";
import { idleness } from "./values.js";
import { Watchlist } from "./watchlist.js";

/** A try to connect that is older than this (milliseconds) when the page wakes up is made anew. */
const STUCK = 3_000;

/** Milliseconds without a connection and without a reason, after which the state says that nobody answers. */
const NOTICE = 1_500;

const NO_ANSWER = "no answer yet";
const NO_TOKEN = "no token yet";

/** What a user id takes in a message at most: 16 digits, a comma, and one to spare. */
const BYTES_OF_ID = 18;

export class Core {
  state = ConnectionState(Phase.CLOSED);
  /** The user's own truth as last told; null before the first welcome. */
  self = null;
  /** The last welcome; null before the first. */
  welcome = null;

  #identity;
  #chance;
  #policy;
  #attempts;
  #watchlist;
  #actions = [];
  #main = null;
  #successor = null;
  #retired = new Map();
  #lastNumber = 0;
  #lastTicket = 0;
  #waiting = new Map(); // by ticket: {message, until}, what is sent once there is a connection
  #idle = null; // {idle, since} once it was said
  #lastEnd = End(0);
  #hasEnded = false;
  #isReturning = false; // it was welcomed since the program said connect
  #noticeAt = null;
  #retryAt = null;
  #moveAt = null;
  #rewatchAt = null;
  #renewAt = null; // when a new token is asked for once more, for the connection there is

  /** One client. `chance` gives numbers from 0 up to 1, anew at each call. */
  constructor(identity, now, chance, policy = Policy()) {
    this.#identity = identity;
    this.#chance = chance;
    this.#policy = policy;
    this.#attempts = new Attempts(policy, chance);
    this.#watchlist = new Watchlist(now);
  }

  /** What is known of the watched users: for reading. */
  get view() {
    return this.#watchlist.view;
  }

  // --- running it

  /** What is to be done and told, in order; each is handed out once. */
  take() {
    const actions = this.#actions;
    this.#actions = [];
    return actions;
  }

  /** When `tick` is due; null: not before something else happens. */
  deadline() {
    const timers = [this.#retryAt, this.#moveAt, this.#rewatchAt, this.#renewAt, this.#noticeAt];
    const times = [...timers, ...this.#conversations().map(({ due }) => due)];
    return times.reduce((least, time) => (time !== null && (least === null || time < least) ? time : least), null);
  }

  /** Time has passed. Harmless when nothing is due. */
  tick(now) {
    for (const conversation of this.#conversations()) {
      if (this.#find(conversation.number)) this.#check(conversation, now);
    }
    if (this.#retryAt !== null && this.#retryAt <= now) this.#connect(now);
    if (this.#moveAt !== null && this.#moveAt <= now) {
      this.#moveAt = null;
      if (this.#successor === null && this.#isLive()) this.#successor = this.#prepare(now);
    }
    if (this.#rewatchAt !== null && this.#rewatchAt <= now) {
      this.#rewatchAt = null;
      this.#watchLeftOut();
    }
    if (this.#renewAt !== null && this.#renewAt <= now) {
      this.#renewAt = null;
      this.#actions.push(AskToken(this.#main.number));
    }
    if (this.#noticeAt !== null && this.#noticeAt <= now) {
      this.#noticeAt = null;
      const isAsking = this.#main !== null && !this.#main.hasToken;
      this.#become({ ...this.state, reason: this.state.reason || (isAsking ? NO_TOKEN : NO_ANSWER) });
    }
  }

  /** Connect for the first time. Harmless when it was done. */
  start(now) {
    if (this.#lastNumber === 0 && !this.#hasEnded) this.#connect(now);
  }

  /** Connect anew after the end, with what is still watched. Harmless otherwise. */
  restart(now) {
    if (!this.#hasEnded) return;
    this.#attempts = new Attempts(this.#policy, this.#chance);
    this.#hasEnded = this.#isReturning = false;
    this.state = ConnectionState(Phase.CLOSED);
    this.#connect(now);
  }

  /** Do not wait for the next try: make it now. Does nothing unless WAITING. */
  reconnectNow(now) {
    if (this.#retryAt !== null) this.#connect(now);
  }

  /** The network or the page came back: do not wait for the next try, and find out whether the link still lives. */
  wake(now) {
    if (this.state.phase === Phase.WAITING) this.reconnectNow(now);
    else if (this.state.phase === Phase.CONNECTING) this.#startOver(now);
    else if (this.#main !== null && this.#main.probe(now) === Verdict.ASK) this.#ping(this.#main);
  }

  /** Leave deliberately: others see the device go at once. Nothing comes after it. */
  leave(now, reason = "closed by the program") {
    if (this.state.phase !== Phase.CLOSED) this.#leave(End(CloseCode.NORMAL, reason), now);
  }

  // --- events of links

  /** The token that `AskToken` asked for. */
  token(link, token, now) {
    const conversation = this.#find(link);
    if (conversation && !conversation.hasToken) this.#open(conversation, token, now);
    else if (conversation === this.#main && conversation?.isRenewing) this.#renew(token);
  }

  /** There is no token now; it is asked for again after the backoff. A connection that there is stays until its end. */
  tokenFailed(link, reason, now) {
    if (this.#find(link)?.isLive) {
      if (link === this.#main.number) this.#renewAt = now + this.#attempts.rewatchDelay();
      return;
    }
    this.lost(link, End(CloseCode.ABNORMAL, `no token: ${reason}`), now);
  }

  /** There will be no token any more: the client leaves, and stops for good. */
  signedOut(link, reason, now) {
    if (this.#find(link)) this.#leave(End(CloseCode.UNAUTHENTICATED, reason), now);
  }

  /** The link is connected, and waits for hello. */
  opened(link, now) {
    const conversation = this.#find(link);
    if (!conversation) return;
    const view = (conversation.view = conversation === this.#main ? this.view : this.view.fork());
    const asked = view.hello();
    conversation.helloIds = asked.userIds;
    if (this.#idle !== null && !this.#identity.isObserver) {
      conversation.saidIdle = this.#idle;
      conversation.told = new Set(this.#waitingFor("activity").map(([ticket]) => ticket));
    }
    this.#send(conversation, this.#identity.hello(asked, idleness(this.#idle, now), this.welcome === null, this.#isReturning));
  }

  /** Something came that is no message. */
  heard(link, now) {
    this.#find(link)?.heard(now);
  }

  /** A message came. Types that this client does not know are let pass. */
  received(link, message, now) {
    const conversation = this.#find(link);
    if (!conversation) return;
    const asked = conversation.receive(message, now);
    if (asked === false) {
      const reason = `${message.type} is not allowed while the session is ${conversation.state}`;
      this.#close(conversation, CloseCode.MALFORMED, reason);
      this.lost(link, End(CloseCode.ABNORMAL, reason), now);
      return;
    }
    if (message.type === "welcome") this.#welcomed(conversation, message, now);
    else if (conversation === this.#main) this.#follow(message, asked, now);
    for (const ticket of asked?.tickets ?? []) {
      if (message.type === "error") this.#settle(ticket, null, new RequestFailed(message));
      else this.#settle(ticket, message);
    }
    if (conversation.isRetiring && conversation.asked.size === 0) this.#retire(conversation, now);
  }

  /** The link ended, or never came about. */
  lost(link, end, now) {
    const conversation = this.#find(link);
    if (!conversation) return;
    if (end.retryAfter === null && end.code >= 4500) end = Object.freeze({ ...end, retryAfter: conversation.retryAfter });
    this.#retired.delete(link);
    if (conversation === this.#successor) {
      this.#successor = null;
      // And keep the one there is.
      if (advice(end.code) !== "stop" && this.#main) this.#moveAt = now + this.#attempts.moveDelay(end.retryAfter);
    } else if (conversation === this.#main) {
      this.#main = null;
      this.#moveAt = this.#rewatchAt = this.#renewAt = this.#noticeAt = null;
      this.view.lost(now);
      if (this.#successor === null) {
        this.#comeBack(conversation, end, now);
      } else {
        // The server may have closed it with 4409, because of the very one that is to replace it.
        this.#promote(this.#successor);
        this.#become(stateAfter(end, Phase.CONNECTING));
        this.#noticeAt = now + NOTICE;
      }
    }
    // Last: whether a request is asked again depends on whether there will be another connection.
    this.#orphan(conversation, end, now);
    this.#settleWithdrawals();
  }

  // --- requests

  /** Watch these too. The ticket is settled when the entries of all of them are held. */
  watch(userIds) {
    const ticket = this.#ticket();
    const ids = [...new Set(userIds)];
    if (this.#mayAsk(ticket, this.#excess(ids))) {
      this.#watch(ids);
      if (!this.#watchlist.wait(ticket, ids)) this.#settle(ticket);
    }
    return ticket;
  }

  /** Watch these no longer; what is held of them is forgotten at once. */
  unwatch(userIds) {
    const ticket = this.#ticket();
    if (!this.#mayAsk(ticket)) return ticket;
    const ids = [...new Set(userIds)].filter((userId) => this.view.watched.has(userId));
    this.#settleAll(this.#watchlist.unwatch(ids));
    if (ids.length && this.#isLive()) {
      this.#ask({ type: "unwatch", userIds: ids }, ticket);
    } else {
      this.#waiting.set(ticket, { message: { type: "unwatch", userIds: ids }, until: null });
      this.#settleWithdrawals();
    }
    return ticket;
  }

  /** Say whether the person is idle, and for how many milliseconds already. While not connected, hello says it. */
  activity(idle, idleFor, now, busy = null) {
    const ticket = this.#ticket();
    if (this.#mayAsk(ticket)) {
      this.#idle = { idle, since: now - idleFor, busy: busy ?? this.#idle?.busy ?? null };
      this.#askOrWait({ message: this.#activity(now), until: null }, ticket);
    }
    return ticket;
  }

  /**
   * Ask this, a `status` or `query`, once there is a connection. `until`, `textUntil`: when it is to end, by the core's
   * clock: it is turned into the server's time when it is sent, and replaces what the message says.
   */
  request(message, until = null, textUntil = null) {
    const ticket = this.#ticket();
    const excess = message.type === "query" ? tooLarge(message.userIds, this.welcome) : null;
    if (this.#mayAsk(ticket, excess)) this.#askOrWait({ message, until, textUntil }, ticket);
    return ticket;
  }

  /**
   * Nobody waits for this ticket any more, `milliseconds` after it was given out. Returns what to say to them.
   *
   * A request that was not sent yet will not be; users that were to be watched stay in the watch list.
   */
  giveUp(ticket, milliseconds) {
    const wasWaiting = this.#waiting.delete(ticket);
    const wasAsked = this.#conversations().filter((conversation) => conversation.forget(ticket)).length > 0;
    const refusal = this.#watchlist.giveUp(ticket);
    if (refusal !== null) return refusal;
    if (wasWaiting || !(this.#isLive() || wasAsked)) return new NotConnected(milliseconds, this.#lastEnd.reason, this.#lastEnd.status);
    return new RequestTimedOut(milliseconds);
  }

  // --- connecting

  #connect(now) {
    this.#retryAt = null;
    this.#main = this.#prepare(now);
    this.#become({ ...this.state, phase: Phase.CONNECTING, retryIn: null });
    this.#noticeAt = this.state.reason ? null : now + NOTICE;
  }

  #prepare(now) {
    const conversation = new Conversation(++this.#lastNumber, now);
    if (this.#identity.hasTokens) this.#actions.push(AskToken(conversation.number));
    else this.#open(conversation, this.#identity.token, now);
    return conversation;
  }

  #open(conversation, token, now) {
    conversation.connecting(now);
    this.#identity.token = token;
    this.#actions.push(Open(conversation.number));
  }

  /** A try that was under way when the network changed may never end: make it anew. */
  #startOver(now) {
    const stuck = this.#main;
    if (stuck === null || now - stuck.begunAt < STUCK) return;
    this.#main = null;
    this.#close(stuck, CloseCode.ABNORMAL, "made anew");
    this.view.lost(now);
    this.#connect(now);
    this.#orphan(stuck, End(CloseCode.ABNORMAL, "made anew"), now);
  }

  #welcomed(conversation, welcome, now) {
    const [ours, theirs] = [this.#identity.userIds ?? "number", welcome.userIds ?? "number"];
    if (ours !== theirs) {
      const reason = `the server's user ids are "${theirs}", and this client's "${ours}": pass userIds: "${theirs}"`;
      this.#leave(End(CloseCode.MALFORMED, reason), now);
      return;
    }
    const former = this.#main;
    if (conversation === this.#successor) this.#promote(conversation);
    this.welcome = welcome;
    this.#isReturning = true;
    this.#noticeAt = this.#moveAt = this.#renewAt = null;
    this.view.receive(welcome);
    if (welcome.self) this.self = selfOf(welcome.self);
    this.#become(ConnectionState(Phase.ONLINE));
    if (welcome.self) this.#actions.push(SelfTold(this.self));
    this.#sayWhatWaited(conversation, now);
    if (former === null || former === conversation) return;
    this.#attempts.ended(former, now);
    former.retire(now);
    this.#retired.set(former.number, former);
    if (former.asked.size === 0) this.#retire(former, now);
  }

  /** What was asked for before the welcome, and was not in its hello. */
  #sayWhatWaited(conversation, now) {
    const withdrawals = this.#waitingFor("unwatch");
    const levels = this.#waitingFor("activity").map(([ticket]) => ticket);
    const requests = [...this.#waitingFor("status", "query")];
    this.#waiting.clear();
    // Before the watches: somebody may have been unwatched and watched again since hello.
    const gone = new Set(conversation.helloIds.filter((userId) => !this.view.watched.has(userId)));
    for (const [, { message }] of withdrawals) for (const userId of message.userIds) gone.add(userId);
    if (gone.size) this.#ask({ type: "unwatch", userIds: [...gone] }, ...withdrawals.map(([ticket]) => ticket));
    this.#watchLeftOut();
    if (conversation.saidIdle === this.#idle) {
      this.#settleAll(levels);
    } else if (levels.length || !this.#identity.isObserver) {
      this.#settleAll(levels.filter((ticket) => conversation.told.has(ticket)));
      this.#ask(this.#activity(now), ...levels.filter((ticket) => !conversation.told.has(ticket)));
    }
    for (const [ticket, wanted] of requests) this.#sendWanted(wanted, ticket);
  }

  /** Follow `successor` from now on. Before its hello there is nothing to take over. */
  #promote(successor) {
    this.#main = successor;
    this.#successor = null;
    if (successor.view !== null) this.#watchlist.adopt(successor.view);
  }

  #retire(former, now) {
    this.#retired.delete(former.number);
    if (former.state === State.CLOSING) this.#close(former, CloseCode.NORMAL, "bye");
    else this.#close(former, CloseCode.GOING_AWAY, "moved to another connection");
    this.#orphan(former, End(CloseCode.ABNORMAL, "no reply in time"), now);
  }

  /** Others see the device go at once. The replies that the connection owes are awaited, and come before its end. */
  #sayBye(conversation, reason, now) {
    if (!conversation.isGreeted) {
      this.#close(conversation, CloseCode.ABNORMAL, reason);
      return;
    }
    this.#send(conversation, { type: "bye" });
    if (conversation.leave(now)) this.#retired.set(conversation.number, conversation);
    else this.#close(conversation, CloseCode.NORMAL, "bye");
  }

  #check(conversation, now) {
    const verdict = conversation.check(now);
    if (verdict === Verdict.ASK) {
      this.#ping(conversation);
    } else if (verdict === Verdict.TOO_LATE && conversation.isRetiring) {
      this.#retire(conversation, now);
    } else if (verdict === Verdict.TOO_LATE) {
      const unwelcome = conversation.hasToken ? "no welcome in time" : "no token in time";
      const reason = conversation.welcome === null ? unwelcome : "no answer to ping";
      this.#close(conversation, CloseCode.ABNORMAL, reason);
      this.lost(conversation.number, End(CloseCode.ABNORMAL, reason), now);
    }
  }

  /** There is no connection any more: try again, or stop. */
  #comeBack(conversation, end, now) {
    this.#lastEnd = end;
    let delay = this.#attempts.next(conversation, end, this.#identity.hasTokens, now);
    if (end.code === CloseCode.REPLACED && this.#identity.renewDevice !== null && !conversation.isOusted) {
      // Another tab has got this device id, such as by a copied storage: it keeps it, and this one takes another.
      this.#identity.deviceId = this.#identity.renewDevice();
      delay = this.#attempts.backoff();
    }
    if (delay === null) {
      this.#stop(end, now);
    } else if (advice(end.code) === "renew") {
      this.#connect(now);
    } else {
      this.#retryAt = now + delay;
      this.#become(stateAfter(end, Phase.WAITING, delay));
    }
  }

  /** End for good, with a bye. */
  #leave(end, now) {
    const closing = [this.#main, this.#successor].filter((each) => each !== null);
    const owing = [...this.#retired.values()];
    this.#main = this.#successor = null;
    this.#retired.clear();
    this.#stop(end, now);
    for (const former of owing) if (former.leave(now)) this.#retired.set(former.number, former);
    for (const conversation of closing) this.#sayBye(conversation, "closed by the program", now);
    for (const former of owing) if (!this.#retired.has(former.number)) this.#retire(former, now);
  }

  /** End for good; whoever waits hears why. */
  #stop(end, now) {
    this.#retryAt = this.#moveAt = this.#rewatchAt = this.#renewAt = this.#noticeAt = null;
    this.#lastEnd = end;
    this.#hasEnded = true;
    this.view.lost(now);
    this.#become(stateAfter(end, Phase.CLOSED));
    for (const former of [...this.#retired.values()]) this.#retire(former, now);
    const tickets = [...this.#waiting.keys(), ...this.#watchlist.takeWaiters()];
    this.#waiting.clear();
    this.#settleAll(tickets, this.closed());
  }

  // --- listening

  #follow(message, asked, now) {
    if (message.type === "self") {
      this.self = selfOf(message);
      this.#actions.push(SelfTold(this.self));
    } else if (message.type === "reconnect") {
      this.#moveAt = now + this.#attempts.beginMoving(this.#main, Math.max(0, message.afterMs), now);
    } else if (message.type === "expiring") {
      this.#expiring();
    } else if (asked?.message.type === "auth") {
      this.#renewed(message, now);
    } else if (message.type === "snapshot" || message.type === "diff") {
      const { changes, tickets } = this.#watchlist.fold(message);
      if (changes.length) this.#actions.push(Changed(changes));
      this.#settleAll(tickets);
    } else if (message.type === "error" && (asked === null || asked.message.type === "watch")) {
      this.#refused(message, now);
    }
  }

  /** The token ends soon: another one is asked for, once. A fixed one is all there is: it ends with the connection. */
  #expiring() {
    if (!this.#identity.hasTokens || this.#main.isRenewing) return;
    this.#main.isRenewing = true;
    this.#actions.push(AskToken(this.#main.number));
  }

  /** There is another token: the connection goes on with it. */
  #renew(token) {
    this.#identity.token = token;
    this.#ask({ type: "auth", token });
  }

  /** What the server says of it. If it is refused, another connection is tried, beside the one that is about to end. */
  #renewed({ type, code }, now) {
    if (type === "error" && code === 503) this.#renewAt = now + this.#attempts.rewatchDelay();
    else if (type === "error") this.#moveAt = now + this.#attempts.moveDelay();
    else this.#main.isRenewing = false;
  }

  #refused(message, now) {
    const { error, code } = message;
    if (!this.#isLive()) {
      // Before its welcome a server has not looked anybody up yet.
      this.#actions.push(Complained({ error, code, message: message.message }));
      return;
    }
    const failure = new RequestFailed(message);
    const { withdrawn, tickets, isToBeAskedAgain } = this.#watchlist.refused(message, failure);
    this.#settleAll(tickets, failure);
    if (isToBeAskedAgain) this.#rewatchAt = now + this.#attempts.rewatchDelay(failure.retryAfter);
    this.#actions.push(Complained({ error, code, message: message.message, ...(withdrawn.length && { userIds: withdrawn }) }));
  }

  /** What was asked on this connection will not be answered. */
  #orphan(conversation, end, now) {
    for (const { tickets, message } of conversation.takeAsked()) {
      if (this.#hasEnded || conversation.isLeaving) {
        this.#settleAll(tickets, this.closed(true));
      } else if (message.type === "unwatch") {
        this.#settleAll(tickets); // it went with the connection, and the next hello leaves them out
      } else if (message.type === "activity") {
        for (const ticket of tickets) this.#askOrWait({ message: this.#activity(now), until: null }, ticket);
      } else if (message.type === "query") {
        const again = { type: "query", userIds: message.userIds };
        for (const ticket of tickets) this.#askOrWait({ message: again, until: null }, ticket);
      } else {
        this.#settleAll(tickets, new ConnectionClosed(end.code, end.reason, "reconnect", true));
      }
    }
  }

  // --- parts

  #conversations() {
    return [this.#main, this.#successor, ...this.#retired.values()].filter((each) => each !== null);
  }

  #find(link) {
    return this.#conversations().find(({ number }) => number === link);
  }

  #isLive() {
    return this.#main !== null && this.#main.isLive;
  }

  #send(conversation, message) {
    this.#actions.push(Send(conversation.number, conversation.send(message)));
  }

  #ping(conversation) {
    this.#send(conversation, { type: "ping" });
  }

  #close(conversation, code, reason) {
    this.#actions.push(Close(conversation.number, code, reason));
  }

  #ask(message, ...tickets) {
    this.#actions.push(Send(this.#main.number, this.#main.ask(message, ...tickets)));
  }

  #askOrWait(wanted, ticket) {
    if (this.#isLive()) this.#sendWanted(wanted, ticket);
    else this.#waiting.set(ticket, wanted);
  }

  #sendWanted({ message, until, textUntil = null }, ticket) {
    const time = {};
    for (const [field, at] of Object.entries({ until, textUntil })) {
      if (at !== null) time[field] = formatTime(Math.ceil(this.#main.epochAt(at) / 1000));
    }
    this.#ask({ ...message, ...time }, ticket);
  }

  /** Of what waits, that of these types: `[ticket, wanted]` each. */
  #waitingFor(...types) {
    return [...this.#waiting].filter(([, { message }]) => types.includes(message.type));
  }

  /** Users are unwatched as soon as no connection watches them: nothing is to be said unless hello named them. */
  #settleWithdrawals() {
    const isGreeted = this.#main !== null && this.#main.isGreeted && !this.#main.isLive;
    const named = new Set(isGreeted ? this.#main.helloIds : []);
    for (const [ticket, { message }] of this.#waitingFor("unwatch")) {
      if (message.userIds.some((userId) => named.has(userId))) continue;
      this.#waiting.delete(ticket);
      this.#settle(ticket);
    }
  }

  /** What there is to say of idleness, now. */
  #activity(now) {
    return { type: "activity", ...idleness(this.#idle ?? { idle: false, since: now }, now) };
  }

  /** Ask for those of these whom nobody asked for yet; without a connection, the next hello or welcome will. */
  #watch(userIds) {
    if (!this.#isLive()) {
      this.view.watch(userIds);
      return;
    }
    // The view must know the id before it can say whom to ask for.
    const asked = this.view.watch(userIds, this.#main.nextId);
    if (asked.length) this.#ask({ type: "watch", userIds: asked });
  }

  #watchLeftOut() {
    if (!this.#isLive()) return;
    const leftOut = this.view.leftOut();
    if (leftOut.length) this.#watch(leftOut);
  }

  #ticket() {
    return ++this.#lastTicket;
  }

  /** Whether to go on; else it is settled with why not, and nothing was done. */
  #mayAsk(ticket, refusal = null) {
    const error = this.#hasEnded ? this.closed() : refusal;
    if (error !== null) this.#settle(ticket, null, error);
    return error === null;
  }

  /** Why these may not be watched too: the server would end the connection, or refuse each hello to come. */
  #excess(userIds) {
    if (this.welcome === null) return null;
    const { maxWatched } = this.welcome.limits;
    if (!this.#isLive() && new Set([...this.view.watched, ...userIds]).size > maxWatched) {
      return refusalOf(400, "too_many_watched", `must be at most ${maxWatched} in all`);
    }
    return tooLarge(userIds, this.welcome);
  }

  /** The error of whoever asks a client that was closed. */
  closed(wasSent = false) {
    return new ConnectionClosed(this.#lastEnd.code, this.#lastEnd.reason, "stop", wasSent);
  }

  #settle(ticket, reply = null, error = null) {
    this.#actions.push(Settled(ticket, reply, error));
  }

  #settleAll(tickets, error = null) {
    for (const ticket of tickets) this.#settle(ticket, null, error);
  }

  #become(state) {
    const { phase, retryIn, code, reason } = this.state;
    if (phase === state.phase && retryIn === state.retryIn && code === state.code && reason === state.reason) return;
    this.state = state;
    this.#actions.push(Became(state));
  }
}

const OWN = ["statusText", "statusEmoji", "textUntil", "statusBy", "textBy"];

function selfOf(told) {
  const { userId, status, override, devices } = told;
  const own = { userId, status, override, devices };
  for (const field of OWN) if (told[field] !== undefined) own[field] = told[field];
  return own;
}

function stateAfter({ code, reason }, phase, retryIn = null) {
  return ConnectionState(phase, { retryIn, code, reason });
}

function tooLarge(userIds, welcome) {
  if (welcome === null || bytesOf(userIds) <= welcome.limits.maxMessage) return null;
  const { maxMessage } = welcome.limits;
  return refusalOf(413, "too_large", `${userIds.length} ids do not fit into one message of ${maxMessage} bytes`);
}

/** Of ids in a message, at most. */
function bytesOf(userIds) {
  const letters = (id) => (typeof id === "string" ? new TextEncoder().encode(id).length + 3 : BYTES_OF_ID);
  return typeof userIds[0] === "string" ? userIds.reduce((sum, id) => sum + letters(id), 0) : userIds.length * BYTES_OF_ID;
}

function refusalOf(code, error, reason) {
  return new RequestFailed({ code, error, message: reason, details: [{ field: "userIds", reason }] });
}
