/**
 * A back end that follows everybody's presence by webhook, with Express: node webhooks_express.mjs 8007
 *
 * PRESENCE_WEBHOOK_SECRET is the secret of the server's webhook file; two of them, with a space in between, while one is
 * replaced by another. Needs: npm install presence-client express
 */

import express from "express";
import { applyDiff } from "presence-client";
import { isChanges, WebhookReceiver, WebhookRefused } from "presence-client/webhooks";

const receiver = new WebhookReceiver(process.env.PRESENCE_WEBHOOK_SECRET.split(" "));
let presences = new Map(); // yours may be a table: a row for each user, updated where the version is greater

const app = express();

// `raw`: the signature is over the bytes as they came.
app.post("/presence", express.raw({ type: "application/json", limit: "1mb" }), async (request, response) => {
  let event;
  try {
    event = await receiver.verify(request.body, request.headers);
  } catch (refused) {
    if (!(refused instanceof WebhookRefused)) throw refused;
    response.status(400).send(refused.reason);
    return;
  }
  if (isChanges(event)) {
    presences = applyDiff(event.gap ? new Map() : presences, event.changes);
    for (const { userId, status, cause } of event.changes) console.log(userId, status, cause);
  }
  response.status(204).end();
});

app.get("/presence/:userId", (request, response) => {
  response.json({ status: presences.get(Number(request.params.userId))?.status ?? "OFFLINE" });
});

app.listen(Number(process.argv[2]), "127.0.0.1");
