"""What the log tells of clients: refusals and closes by the server (`info`), beginnings and ends of sessions (`debug`).

Nothing is logged at `info` for whoever comes, is served and goes. What clients can cause at any rate is sampled by the
log's output (see `repeats`). User ids are as clients write them, and sessions are called what `welcome` calls them.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from presence_protocol.close_codes import CloseCode
from presence_server.domain.model import Change
from presence_server.logs import get_logger

if TYPE_CHECKING:
    from presence_server.application.keys import UserKeys
    from presence_server.application.ports import Engine, EngineEvent, Listener, Peer
    from presence_server.application.sessions import Session

KNOWN: Final = {int(code): str(int(code)) for code in CloseCode}
OTHER: Final = "other"
"""A close code that nobody defined: clients may send what they like."""

_NORMAL: Final = CloseCode.NORMAL
CLIENT, SERVER = "client", "server"

LONGEST_PATH: Final = 200
"""Characters of a path in the log."""

_log = get_logger(__name__)


class LogJournal:
    """The hub's `Journal`, and the same for requests and handshakes."""

    def __init__(self, engine: Engine, keys: UserKeys) -> None:
        self._engine = engine
        self._keys = keys
        self.closes: Counter[tuple[str, str]] = Counter()
        """By code and by who ended it."""

    def began(self, session: Session, now: float) -> None:
        if _log.is_enabled(logging.DEBUG):
            _log.debug("session began", **self._about(session))

    def ended(self, session: Session, code: int, reason: str | None, now: float) -> None:
        is_ours = reason is not None and code != _NORMAL  # a bye is the client's
        self.closes[KNOWN.get(code, OTHER), SERVER if is_ours else CLIENT] += 1
        if is_ours or _log.is_enabled(logging.DEBUG):
            about: dict[str, Any] = self._about(session)
            about |= {"seconds": round(now - session.began, 1), "code": int(code)}
            if is_ours:
                _log.info("session closed", **about, reason=reason)
            _log.debug("session ended", **about, by=SERVER if is_ours else CLIENT)

    def _about(self, session: Session) -> dict[str, Any]:
        about: dict[str, Any] = {"session": self._engine.session_id(session.session_number)}
        if session.user_id:
            about["userId"] = self._keys.user_id(session.user_id)
            about |= {"deviceId": session.device_id, "platform": session.platform}
        return about | {"address": address_of(session.peer)}

    def following(self, listener: Listener) -> Listener:
        """`listener`, with a line for each change of public state before it where the log wants that."""
        if not _log.is_enabled(logging.DEBUG):
            return listener

        def told(event: EngineEvent, now: float) -> None:
            if isinstance(event, Change):
                before, after = event.before.status.value, event.after.status.value
                _log.debug("status changed", userId=self._keys.user_id(event.user_id), before=before, status=after)
            listener(event, now)

        return told

    def handshake_refused(self, status: int, answer: bytes, address: str) -> None:
        """`answer`: all of its bytes."""
        _log.info("handshake refused", status=status, **_told(answer.partition(b"\r\n\r\n")[2]), address=address)

    def request_refused(self, method: str, path: str, status: int, body: bytes, address: str) -> None:
        about = {"method": method, "path": path[:LONGEST_PATH], "address": address}
        _log.info("request refused", status=status, **_told(body), **about)


def address_of(peer: Peer) -> str:
    """The client's address as far as proxies that are trusted tell it, else that of the TCP connection."""
    return ", ".join(peer.clients or ()) or peer.address


def _told(body: bytes) -> dict[str, str]:
    """What the client is told of why: the envelope's error, and its first detail."""
    try:
        data = msgspec.json.decode(body)["data"]
        detail = data["details"][0] if data["details"] else {"field": "", "reason": ""}
        return {"error": data["error"], "reason": f"{detail['field']} {detail['reason']}".strip()}
    except (msgspec.MsgspecError, LookupError, TypeError):
        return {}  # not in the envelope
