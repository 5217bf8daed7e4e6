"""A back end that follows everybody's presence by webhook, with Django: python webhooks_django.py 8006

The view and the two routes go into your project as they are; the rest makes one file a site.
PRESENCE_WEBHOOK_SECRET is the secret of the server's webhook file; two of them, with a space in between, while one is
replaced by another. Needs: pip install 'presence-client[webhooks]' django
"""

import os
import sys

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from presence_client import Presences
from presence_client.webhooks import PresenceChanges, WebhookReceiver, WebhookRefused

receiver = WebhookReceiver(*os.environ["PRESENCE_WEBHOOK_SECRET"].split())
presences = Presences()  # yours may be a model: a row for each user, updated where the version is greater


@csrf_exempt  # the signature says who sent it
@require_POST
def receive(request: HttpRequest) -> HttpResponse:
    try:
        event = receiver.verify(request.body, request.headers)
    except WebhookRefused as refused:
        return HttpResponseBadRequest(refused.reason)
    if isinstance(event, PresenceChanges):
        for entry in presences.take(event.changes, gap=event.gap):
            print(entry.user_id, entry.status, entry.cause, flush=True)
    return HttpResponse(status=204)


def show(request: HttpRequest, user_id: int) -> HttpResponse:
    return JsonResponse({"status": presences[user_id].status if user_id in presences else "OFFLINE"})


urlpatterns = [path("presence", receive), path("presence/<int:user_id>", show)]


if __name__ == "__main__":
    from wsgiref.simple_server import make_server

    settings.configure(
        ROOT_URLCONF=sys.modules["__main__"], ALLOWED_HOSTS=["127.0.0.1"], SECRET_KEY=os.urandom(32).hex()
    )
    with make_server("127.0.0.1", int(sys.argv[1]), get_wsgi_application()) as server:
        server.serve_forever()
