"""Runs the shared vectors of the core: events in, actions out. What they mean stands in their `about`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from presence_client.actions import (
    Action,
    AskToken,
    Became,
    Changed,
    Close,
    ConnectionState,
    Open,
    SelfTold,
    Send,
    Settled,
)
from presence_client.attempts import End, Policy
from presence_client.backoff import Backoff
from presence_client.core import Core
from presence_client.errors import ConnectionClosed, NotConnected, PresenceError, RequestFailed, RequestTimedOut
from presence_client.identity import Identity
from presence_protocol.close_codes import Advice
from presence_protocol.codec import JSON
from presence_protocol.messages import Query, SetStatus

PATH = Path(__file__).parent.parent / "vectors" / "core.json"


class Runner:
    """One scenario. Times are in milliseconds outside, and in seconds inside."""

    def __init__(self, case: dict[str, Any], vectors: dict[str, Any]) -> None:
        self._messages = vectors["messages"]
        client = {"userId": 1, "deviceId": "d", "platform": "PC"} | case.get("client", {})
        is_observer = client.get("observer", False)
        self.core = Core(
            Identity(
                None if is_observer else client["userId"],
                None if is_observer else client["deviceId"],
                None if is_observer else client["platform"],
                observer=is_observer,
                status=client.get("status"),
                token=client.get("token"),
                has_tokens=client.get("asksToken", False),
            ),
            0.0,
            lambda: case.get("chance", vectors["chance"]),
            _policy(client.get("transport", "websocket")),
        )
        self._tickets: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def step(self, event: dict[str, Any], now_ms: int) -> list[dict[str, Any]]:
        """Let the event happen. Returns the actions that follow."""
        core, now = self.core, now_ms / 1000
        link = event.get("link", 0)
        answers: list[dict[str, Any]] = []
        match event["type"]:
            case "start":
                core.start(now)
            case "tick":
                core.tick(now)
            case "leave":
                core.leave(now)
            case "reconnectNow":
                core.reconnect_now(now)
            case "token":
                core.token(link, event["token"], now)
            case "tokenFailed":
                core.token_failed(link, event["reason"], now)
            case "signedOut":
                core.signed_out(link, event["reason"], now)
            case "opened":
                core.opened(link, now)
            case "heard":
                core.heard(link, now)
            case "received":
                message = event["message"]
                message = self._messages[message] if isinstance(message, str) else message
                core.received(link, JSON.decode_server(json.dumps(message).encode()), now)
            case "lost":
                retry_after = event["retryAfterMs"] / 1000 if "retryAfterMs" in event else None
                end = End(event["code"], event.get("reason", ""), retry_after, event.get("wasReached", True))
                core.lost(link, end, now)
            case "watch":
                self._ask(event, core.watch(event["userIds"]))
            case "unwatch":
                self._ask(event, core.unwatch(event["userIds"]))
            case "activity":
                self._ask(event, core.activity(event["idle"], event.get("idleForMs", 0) / 1000, now))
            case "status":
                status = SetStatus(
                    status=event["status"], until=event.get("until", UNSET), status_text=event.get("statusText", UNSET)
                )
                lasts = now + event["lastsMs"] / 1000 if "lastsMs" in event else None
                self._ask(event, core.request(status, lasts))
            case "query":
                self._ask(event, core.request(Query(user_ids=event["userIds"])))
            case "giveUp":
                refusal = core.give_up(self._tickets[event["ticket"]], 1.0)
                answers.append({"type": "settled", "ticket": event["ticket"], "error": _name_of(refusal)})
            case unknown:
                raise AssertionError(unknown)
        return [self._written(action) for action in core.take()] + answers

    def _ask(self, event: dict[str, Any], ticket: int) -> None:
        self._tickets[event["ticket"]] = ticket
        self._names[ticket] = event["ticket"]

    def _written(self, action: Action) -> dict[str, Any]:
        match action:
            case AskToken(link):
                return {"type": "askToken", "link": link}
            case Open(link, kind):
                return {"type": "open", "link": link, "kind": kind.value}
            case Send(link, message):
                return {"type": "send", "link": link, "message": json.loads(JSON.encode(message))}
            case Close(link, code, reason):
                return {"type": "close", "link": link, "code": code, "reason": reason}
            case Settled(ticket, _, error):
                written: dict[str, Any] = {"type": "settled", "ticket": self._names[ticket]}
                if isinstance(error, ConnectionClosed) and error.advice is not Advice.RECONNECT and error.was_sent:
                    written["wasSent"] = True
                return written if error is None else written | {"error": _name_of(error)}
            case Changed(changes):
                return {
                    "type": "changed",
                    "changes": [
                        {
                            "userId": change.user_id,
                            "before": None if change.before is None else change.before.status,
                            "after": change.after.status,
                        }
                        for change in changes
                    ],
                }
            case SelfTold(self_view):
                return {"type": "selfTold", "self": msgspec.to_builtins(self_view)}
            case Became(state):
                return {"type": "became", **_state(state)}

    def known(self) -> dict[str, Any]:
        """What a step may ask for beside the actions."""
        deadline = self.core.deadline()
        return {
            "deadline": None if deadline is None else round(deadline * 1000),
            "view": {str(user_id): entry.status for user_id, entry in self.core.view.entries.items()},
            "watched": sorted(self.core.view.watched),
            "stale": self.core.view.stale_since is not None,
        }


def _policy(transport: str) -> Policy:
    policies: dict[str, Callable[[], Policy]] = {
        "auto": Policy,
        "websocket": lambda: Policy(Backoff(), fallback_after=None),
        "rest": lambda: Policy(Backoff(), fallback_after=0, upgrade=None),
    }
    return policies[transport]()


def _state(state: ConnectionState) -> dict[str, Any]:
    written: dict[str, Any] = {"phase": state.phase.value}
    if state.kind is not None:
        written["kind"] = state.kind.value
    if state.retry_in is not None:
        written["retryInMs"] = round(state.retry_in * 1000)
    if state.code:
        written["code"] = state.code
    if state.reason:
        written["reason"] = state.reason
    return written


def _name_of(error: PresenceError) -> str:
    match error:
        case ConnectionClosed(advice=Advice.RECONNECT):
            return "disconnected"
        case ConnectionClosed():
            return "closed"
        case RequestFailed():
            return error.error
        case NotConnected():
            return "not_online"
        case RequestTimedOut():
            return "timeout"
    raise AssertionError(error)
