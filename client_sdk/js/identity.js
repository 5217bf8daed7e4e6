/** Who a client is, and what its hello says. Pure. */

import { checkDeviceId, checkId, checkPlatform, KINDS, oneOf, STATUSES } from "./values.js";

/**
 * One device of one user, or (without `userId`) an observer, who only watches.
 *
 * `status` is an override to begin with: it goes into hello until the first welcome and never again, and the server
 * heeds it only when the device's session is a new one. `hasTokens`: before each connection a token is asked for, and
 * `token` is the last one. `hasTickets`: the token goes into no hello. `renewDevice`: gives another device id, where the SDK chooses it; null: it is the program's.
 * `client`: what SDK it is, and of which version, if that is told.
 */
export class Identity {
  /** Throws RangeError or TypeError, naming the argument, for what cannot be right. */
  constructor({ userIds = "number", userId, deviceId, platform = "WEB", status, token = null, hasTokens = false, hasTickets = false, renewDevice = null, client = null }) {
    oneOf("userIds", userIds, KINDS);
    if (userId === undefined) {
      if ((deviceId ?? status ?? null) !== null) {
        throw new TypeError("an observer has no user, no device and no status: leave them out");
      }
    } else {
      userId = checkId("userId", userId, userIds);
      if (deviceId !== undefined && deviceId !== null) checkDeviceId(deviceId);
      checkPlatform(platform);
      if (status !== undefined) oneOf("status", status, STATUSES);
    }
    this.userIds = userIds;
    this.userId = userId ?? null;
    this.deviceId = deviceId ?? null;
    this.platform = platform;
    this.status = status;
    this.token = token;
    this.hasTokens = hasTokens;
    this.hasTickets = hasTickets;
    this.renewDevice = renewDevice;
    this.client = client;
  }

  get isObserver() {
    return this.userId === null;
  }

  /** The first message of a connection. `isFirst`: nobody was welcomed so far; `idleness`: see `values.js`; `isReturning`: it comes back by itself. */
  hello({ userIds, cursor }, idleness, isFirst, isReturning = false) {
    const { userId, deviceId, platform, token, status } = this;
    const hello = { type: "hello", ...(this.isObserver ? { observer: true } : { userId, deviceId, platform }) };
    if (token !== null && !this.hasTickets) hello.token = token;
    if (!this.isObserver) Object.assign(hello, idleness);
    if (isFirst && status !== undefined) hello.status = status;
    if (userIds.length) hello.watch = userIds;
    if (cursor !== null) hello.cursor = cursor;
    if (this.client !== null) {
      hello.client = this.client;
      if (isReturning && !this.isObserver) hello.returning = true;
    }
    return hello;
  }
}
