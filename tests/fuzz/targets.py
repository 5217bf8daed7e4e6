"""What is fed bytes that nobody has thought of, and what must hold whatever they are.

A target takes bytes and fails by an exception. A `Target` begins with inputs that go deep, from which others are made.
"""

from __future__ import annotations

import asyncio
import json
import re
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from websockets.frames import Frame, Opcode

from presence_protocol.codec import codecs_of
from presence_protocol.errors import InvalidMessage, MalformedMessage
from presence_protocol.user_ids import kind_of
from presence_server.application.keys import PLAIN
from presence_server.application.principals import Denied, Principal
from presence_server.identity.claims import Rules, principal_of
from presence_server.identity.jwt_keys import UnusableKey, key_of, keys_of_set
from presence_server.identity.service_keys import KeyFileError, parse
from presence_server.identity.tokens import TokenVerifier
from presence_server.identity.webhook import AskApplication
from presence_server.settings.declaration import SettingsError
from presence_server.settings.table import DECLARATIONS, Settings
from presence_server.transports.rest import bodies
from presence_server.transports.rest.envelope import Refusal
from presence_server.visibility.questions import Question, Questions
from server.identity.keys import NOW, SECRET, claims, jwk, private_key, public_pem, sign
from server.transports.test_http_connection import Http
from support.frames import frames_of
from support.transport import Wire

VECTORS: Final = Path(__file__).parent.parent / "vectors"


class Target(NamedTuple):
    run: Callable[[bytes], None]
    seeds: list[bytes]


# -- messages and frames ----------------------------------------------------------------------------------------------

KINDS: Final = [kind_of(name) for name in ("number", "int64", "string")]


def messages(data: bytes) -> None:
    """A message is read or refused; what was read is read again from what is written of it, by either codec."""
    for kind in KINDS:
        codecs = codecs_of(kind)
        for codec in codecs:
            try:
                message = codec.decode_client(data)
            except (MalformedMessage, InvalidMessage):
                continue
            for other in codecs:
                assert other.decode_client(other.encode(message)) == message, (message, other)


def _client_messages() -> list[dict[str, Any]]:
    """Those of the vectors that a client may send, well made or not."""
    known = json.loads((VECTORS / "messages.json").read_text("utf-8"))
    found: list[dict[str, Any]] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("type"), str):
                found.append(value)
            for each in value.values():
                walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)

    walk(known)
    return found


HELLO: Final = {"type": "hello", "userId": 1, "deviceId": "d", "platform": "WEB", "watch": [1, 2]}
EACH_SERVER: Final = 500
"""Connections that one server has, before the next one is made."""


class _Servers:
    """A server that many connections go to, one after the other."""

    def __init__(self) -> None:
        self._wire: Wire | None = None
        self._used = 0

    def connect(self) -> Wire:
        if self._wire is None or self._used >= EACH_SERVER:
            self._wire, self._used = Wire(), 0
            return self._wire
        self._used += 1
        return self._wire.another()


_servers = _Servers()


def frames(data: bytes) -> None:
    """Bytes on a WebSocket, cut as the first of them says; behind a hello if it is odd. What is answered are frames."""
    wire = _servers.connect()
    if not data:
        return
    how, stream = data[0], data[1:]
    if how & 1:
        stream = Frame(Opcode.TEXT, json.dumps(HELLO).encode()).serialize(mask=True) + stream
    size = (how >> 1) or len(stream) or 1
    for at in range(0, len(stream), size):
        wire.receive(stream[at : at + size])
    wire.settle()
    list(frames_of(wire.transport.written))
    wire.connection.connection_lost(None)
    wire.settle()


def _frame(opcode: Opcode, payload: bytes, fin: bool = True) -> bytes:
    return Frame(opcode, payload, fin).serialize(mask=True)


# -- HTTP -------------------------------------------------------------------------------------------------------------

_loop: asyncio.AbstractEventLoop | None = None


def http(data: bytes) -> None:
    """Bytes on an HTTP connection: however they are cut, they are the same requests, and are answered alike."""
    global _loop
    if _loop is None:
        _loop = asyncio.new_event_loop()
    asyncio.set_event_loop(_loop)
    if not data:
        return
    size, stream = data[0] or 1, data[1:]
    whole = _loop.run_until_complete(_talk([stream]))
    cut = _loop.run_until_complete(_talk([stream[at : at + size] for at in range(0, len(stream), size)]))
    assert whole == cut, (whole, cut)


async def _talk(pieces: list[bytes]) -> tuple[list[str], list[bytes], list[int]]:
    http = _Quick()
    for piece in pieces:
        if http.transport.state == "open":
            http.connection.data_received(piece)
        await http.settle()
    # An interim 100 is said only where a body is waited for. A refusal is the last that is said; where what is refused
    # came in one piece with the request before it, the connection may end without one.
    served = [status for status in http.statuses if 100 < status < 400]
    refused = [status for status in http.statuses if status >= 400]
    assert len(refused) <= 1, http.statuses
    assert not refused or http.statuses[-1] == refused[0], "something after a refusal"
    assert not refused or http.transport.state != "open", "refused, and still open"
    made = http.asked, http.bodies, served
    http.connection.connection_lost(None)
    await http.settle()
    assert not http.state.tasks, "a request that nobody ends"
    return made


_STATUS: Final = re.compile(rb"(?:^|[}k]|\n)HTTP/1\.1 (\d{3}) ")
"""A status line: behind nothing, behind the body `ok` or that of a refusal, or behind a head."""


class _Quick(Http):
    @property
    def statuses(self) -> list[int]:
        return list(map(int, _STATUS.findall(self.transport.written)))

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


HEADS: Final = [
    b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nX: y\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET http://h/a?b=c HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: h\r\nOrigin: http://x\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
]


def body(data: bytes) -> None:
    """A request's body is taken or refused."""
    for read in BODIES:
        for body_type in bodies.RULES:
            with suppress(Refusal):
                read.decode(data, body_type)


BODIES: Final = [bodies.Bodies(kind) for kind in KINDS]

# -- who it is --------------------------------------------------------------------------------------------------------


def _user_id(subject: Any) -> int:
    if not isinstance(subject, str) or not subject.isdecimal() or not subject.isascii():
        raise ValueError("must be a user id")
    return int(subject)


RULES: Final = Rules(_user_id)
KEYS: Final = (key_of(SECRET), key_of(public_pem("ec")), key_of(public_pem("ed")))
TOKENS: Final = [
    sign(claims(), algorithm="HS256"),
    sign(claims(presence={"scopes": ["read"]}), private_key("ec"), "ES256"),
    sign(claims(presence={"device": "d", "platforms": ["WEB"], "observe": True}), private_key("ed"), "EdDSA"),
]


def token(data: bytes) -> None:
    """No token is taken but those that were signed. The same bytes as claims, signed well, are taken or refused."""
    text = data.decode("latin-1")
    made: list[Principal | Denied] = []
    TokenVerifier(KEYS, None, RULES).verify(text, NOW, made.append)
    (answer,) = made
    if isinstance(answer, Principal):
        assert text.rpartition(".")[0] in {known.rpartition(".")[0] for known in TOKENS}, "signed by nobody"
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(said, dict):
        principal_of(said, RULES, NOW)


def key_file(data: bytes) -> None:
    """A file of service keys, a JWK set or a PEM is read, or refused with the reason."""
    text = data.decode("utf-8", "replace")
    with suppress(KeyFileError):
        parse(text, "keys")
    with suppress(UnusableKey):
        key_of(text)
    with suppress(UnusableKey):
        try:
            said = json.loads(data)
        except (ValueError, RecursionError):
            return
        keys_of_set(said)


def setting(data: bytes) -> None:
    """Each setting is taken, or refused with its name and the reason."""
    if not data:
        return
    declaration = DECLARATIONS[data[0] % len(DECLARATIONS)]
    text = data[1:].decode("utf-8", "replace")
    try:
        value = declaration.parse(text)
    except ValueError:
        return
    with suppress(SettingsError):
        Settings(**{declaration.name: value})


class _Asked(Questions):
    def __init__(self) -> None:
        super().__init__(PLAIN, lambda: 0.0)
        self.question: Question | None = None

    def send(self, question: Question) -> None:
        self.question = question


def answer(data: bytes) -> None:
    """What the application answers, about who somebody is and whom they may see: whoever waits is told, at once."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return
    with suppress(ValueError):
        AskApplication("http://h/", RULES)._principal(said, NOW)
    asked, told = _Asked(), list[float | None]()
    asked.learn(1, [2, 3], 0.0, told.append)
    assert asked.question is not None
    with suppress(ValueError):
        asked.answered(asked.question, said)
    (life,) = told
    assert life is not None
    assert 0 < life <= 3_600


def _places(named: dict[str, str]) -> list[bytes]:
    numbers = {declaration.name: number for number, declaration in enumerate(DECLARATIONS)}
    return [bytes((numbers[name],)) + text.encode() for name, text in named.items() if name in numbers]


_CLIENT: Final = _client_messages()

TARGETS: Final[dict[str, Target]] = {
    "messages": Target(
        messages,
        [json.dumps(each).encode() for each in _CLIENT] + [msgspec.msgpack.encode(each) for each in _CLIENT],
    ),
    "frames": Target(
        frames,
        [b"\1" + _frame(Opcode.TEXT, json.dumps(each).encode()) for each in _CLIENT[:60]]
        + [
            b"\0" + _frame(Opcode.TEXT, json.dumps(HELLO).encode()),
            b"\1" + _frame(Opcode.TEXT, b'{"type":"pi', False) + _frame(Opcode.CONT, b'ng","id":1}'),
            b"\7" + _frame(Opcode.PING, b"x") + _frame(Opcode.CLOSE, struct.pack("!H", 1000) + b"bye"),
            b"\1" + _frame(Opcode.BINARY, msgspec.msgpack.encode({"type": "ping"})),
        ],
    ),
    "http": Target(http, [bytes((size,)) + head for head in HEADS for size in (0, 1, 7)]),
    "body": Target(
        body,
        [
            b'{"userId":1,"deviceId":"d","platform":"WEB","idle":true}',
            b'{"userIds":[1,2,3],"detail":true}',
            b'{"userIds":["1","2"],"mutual":false}',
            b'{"status":"BUSY","until":"2030-01-01T00:00:00Z","statusText":"t","statusEmoji":"x"}',
            b'{"add":[1],"remove":[2]}',
            b'{"userId":1,"issuedBefore":"2030-01-01T00:00:00Z","deviceId":null}',
            b'{"lastSeen":"nobody"}',
        ],
    ),
    "token": Target(token, [each.encode() for each in TOKENS] + [json.dumps(claims()).encode()]),
    "key_file": Target(
        key_file,
        [
            b"# a comment\ncrm " + b"ab" * 32 + b" read,write\n",
            json.dumps({"keys": [jwk("ec", "one"), jwk("rsa", "two")]}).encode(),
            public_pem("ec").encode(),
        ],
    ),
    "setting": Target(
        setting,
        _places(
            {
                "sources": "self=100,call=80,calendar=40",
                "lifetimes": "BUSY=3600,AWAY=0",
                "trusted_networks": "10.0.0.0/8,::1/128",
                "platforms": "WEB,MINI_PROGRAM",
                "allowed_origins": "https://a.example,null",
                "jwt_leeway": "5s",
                "max_memory": "1GB",
                "device_classes": "phone=IOS,ANDROID;web=WEB",
            }
        ),
    ),
    "answer": Target(
        answer,
        [
            b'{"userId":"10001","expiresIn":300,"device":"d","platforms":["WEB"],"observe":true}',
            b'{"lenses":{"2":"full","3":"coarse"},"expiresIn":60}',
            b'{"lenses":{"2":["full"]},"expiresIn":NaN}',
        ],
    ),
}


def anything(data: bytes) -> None:
    """The first byte says which target the others are for: all of them, in one process."""
    if data:
        names = list(TARGETS)
        TARGETS[names[data[0] % len(names)]].run(data[1:])


ALL: Final = Target(
    anything, [bytes((number,)) + data for number, target in enumerate(TARGETS.values()) for data in target.seeds[:40]]
)


def target_of(name: str) -> Target:
    return ALL if name == "all" else TARGETS[name]
