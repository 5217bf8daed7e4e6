"""A back end that follows everybody's presence by webhook, with FastAPI: uvicorn webhooks_fastapi:app

PRESENCE_WEBHOOK_SECRET is the secret of the server's webhook file; two of them, with a space in between, while one is
replaced by another. Needs: pip install 'presence-client[webhooks]' fastapi uvicorn
"""

import os

from fastapi import FastAPI, HTTPException, Request

from presence_client import Presences
from presence_client.webhooks import PresenceChanges, WebhookReceiver, WebhookRefused

app = FastAPI()
receiver = WebhookReceiver(*os.environ["PRESENCE_WEBHOOK_SECRET"].split())
presences = Presences()  # yours may be a table: a row for each user, updated where the version is greater


@app.post("/presence", status_code=204)
async def receive(request: Request) -> None:
    try:
        event = receiver.verify(await request.body(), request.headers)
    except WebhookRefused as refused:
        raise HTTPException(400, refused.reason) from None
    if isinstance(event, PresenceChanges):
        for entry in presences.take(event.changes, gap=event.gap):
            print(entry.user_id, entry.status, entry.cause, flush=True)


@app.get("/presence/{user_id}")
async def show(user_id: int) -> dict[str, str]:
    return {"status": presences[user_id].status if user_id in presences else "OFFLINE"}
