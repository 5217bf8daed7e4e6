// A peer of the presence server that nobody here wrote: Node's `ws`, driven line by line over standard input.
//
// Commands are JSON lines: {"do": "open", "url", "protocols"?, "headers"?}, {"do": "send", "text"},
// {"do": "sendHex", "hex"}, {"do": "close", "code"?}, {"do": "terminate"}, {"do": "ping"}.
// Events are JSON lines: {"event": "open", "protocol", "extensions"}, {"event": "message", "data", "binary"},
// {"event": "close", "code", "reason"}, {"event": "refused", "status", "headers", "body"}, {"event": "ping"},
// {"event": "pong"}.
// A binary message's `data` is in base64.

import { createInterface } from "node:readline";
import WebSocket from "ws";

const tell = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

let socket = null;

function open({ url, protocols, headers }) {
  socket = new WebSocket(url, protocols ?? [], { headers });
  socket.on("open", () => tell({ event: "open", protocol: socket.protocol, extensions: socket.extensions }));
  socket.on("message", (data, binary) =>
    tell({ event: "message", binary, data: data.toString(binary ? "base64" : "utf8") }),
  );
  socket.on("close", (code, reason) => tell({ event: "close", code, reason: reason.toString() }));
  socket.on("ping", () => tell({ event: "ping" }));
  socket.on("pong", () => tell({ event: "pong" }));
  socket.on("error", () => {}); // `close` follows
  socket.on("unexpected-response", (request, response) => {
    const parts = [];
    response.on("data", (part) => parts.push(part));
    response.on("end", () => {
      tell({
        event: "refused",
        status: response.statusCode,
        headers: response.headers,
        body: Buffer.concat(parts).toString(),
      });
      request.destroy();
    });
  });
}

const commands = {
  open,
  send: ({ text }) => socket.send(text),
  sendHex: ({ hex }) => socket.send(Buffer.from(hex, "hex")),
  close: ({ code }) => socket.close(code ?? undefined),
  terminate: () => socket.terminate(),
  ping: () => socket.ping(),
};

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const command = JSON.parse(line);
    commands[command.do](command);
  })
  .on("close", () => process.exit(0));
