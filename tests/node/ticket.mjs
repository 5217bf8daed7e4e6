/** Connects with a ticket, and tells what went over the wire: run by tests/client/test_tokens_live.py. */

import { WebSocket } from "ws";

import { PresenceClient } from "../../client_sdk/js/presence.js";

const given = JSON.parse(process.argv[2]);
const told = {};

class Told extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols);
    told.url = url;
  }

  send(text) {
    told.hello ??= JSON.parse(text);
    super.send(text);
  }
}

const client = new PresenceClient({ ...given, deviceId: "d", platform: "WEB", ticket: true, WebSocket: Told });
await client.connect();
told.state = client.state;
client.bye();
const again = new WebSocket(told.url, ["presence.v1.json"]);
again.on("open", () => again.send(JSON.stringify({ type: "hello", userId: given.userId, deviceId: "e", platform: "WEB" })));
told.again = await new Promise((resolve) => again.on("close", resolve));
console.log(JSON.stringify(told));
