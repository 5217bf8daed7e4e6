"""The Origin policy as a page would meet it, and CORS over a small ASGI application."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presence_server.transports.origins import CorsMiddleware, OriginPolicy, is_loopback_host, parse_origin

LIST = ("https://chat.example.com", "http://localhost:3000")


@pytest.mark.parametrize(
    ("allowed", "loopback", "origin", "host", "expected"),
    [
        # not a browser
        ((), False, None, "presence.example.com", True),
        (LIST, True, None, None, True),
        # same host
        ((), False, "http://presence.example.com:8004", "presence.example.com:8004", True),
        ((), False, "http://presence.example.com", "presence.example.com:80", True),
        ((), False, "https://presence.example.com", "presence.example.com", True),
        ((), False, "https://presence.example.com:443", "presence.example.com", True),
        ((), False, "HTTPS://Presence.Example.COM", "presence.example.com:443", True),
        ((), False, "http://[2001:DB8:0::1]:8004", "[2001:db8::1]:8004", True),
        ((), False, "http://presence.example.com", "presence.example.com:8004", False),
        ((), False, "https://presence.example.com", "presence.example.com:80", False),
        ((), False, "http://evil.example", "presence.example.com", False),
        ((), False, "http://presence.example.com", None, False),
        ((), False, "http://presence.example.com", "", False),
        # loopback
        ((), True, "http://localhost:5173", "127.0.0.1:8004", True),
        ((), True, "http://app.localhost", "127.0.0.1:8004", True),
        ((), True, "http://127.9.9.9:1", "127.0.0.1:8004", True),
        ((), True, "http://[::1]:5173", "127.0.0.1:8004", True),
        ((), True, "http://localhost.evil.example", "127.0.0.1:8004", False),
        ((), True, "http://127.0.0.1.evil.example", "127.0.0.1:8004", False),
        ((), True, "http://evillocalhost", "127.0.0.1:8004", False),
        ((), False, "http://localhost:5173", "0.0.0.0:8004", False),
        # a list replaces the default, but for the same host
        (LIST, False, "https://chat.example.com", "presence.example.com", True),
        (LIST, False, "https://CHAT.example.com:443", "presence.example.com", True),
        (LIST, False, "http://chat.example.com", "presence.example.com", False),
        (LIST, False, "https://chat.example.com:8443", "presence.example.com", False),
        (LIST, False, "https://chat.example.com.evil.example", "presence.example.com", False),
        (LIST, False, "https://presence.example.com", "presence.example.com", True),
        (LIST, True, "http://localhost:3000", "127.0.0.1:8004", True),
        (LIST, True, "http://localhost:3001", "127.0.0.1:8004", False),
        # null and *
        ((), True, "null", "127.0.0.1:8004", False),
        (("null",), False, "null", "presence.example.com", True),
        (("*",), False, "null", "presence.example.com", True),
        (("*",), False, "http://evil.example", "presence.example.com", True),
        # application schemes
        (("capacitor://localhost",), False, "capacitor://localhost", "presence.example.com", True),
        # what no browser would send
        ((), True, "", "127.0.0.1:8004", False),
        ((), True, "http://", "127.0.0.1:8004", False),
        ((), True, "http://localhost/", "127.0.0.1:8004", False),
        ((), True, "http://user@localhost", "127.0.0.1:8004", False),
        ((), True, "http://localhost:99999", "127.0.0.1:8004", False),
        ((), True, "http://localhost:3000\n", "127.0.0.1:8004", False),
        ((), True, "http://[::1", "127.0.0.1:8004", False),
        ((), True, "http://[1:2]", "127.0.0.1:8004", False),
        ((), True, "http://localhost, http://localhost", "127.0.0.1:8004", False),
        ((), False, "http://presence.example.com", "presence.example.com, presence.example.com", False),
    ],
)
def test_which_pages_may_use_the_server(
    allowed: tuple[str, ...], loopback: bool, origin: str | None, host: str | None, expected: bool
) -> None:
    assert OriginPolicy(allowed, loopback).allows(origin, host) is expected


@given(st.text() | st.sampled_from(["http://", "a://[", "null", "*"]), st.text() | st.none(), st.booleans())
def test_garbage_is_foreign_and_never_an_error(origin: str, host: str | None, loopback: bool) -> None:
    allowed = OriginPolicy((), loopback).allows(origin, host)
    assert not allowed or parse_origin(origin) is not None


def test_an_entry_that_cannot_be_read_matches_nothing() -> None:
    assert not OriginPolicy(("http://a/b", ""), False).allows("http://a", "c")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "[::1]", "LOCALHOST", "x.localhost"])
def test_hosts_that_mean_this_machine(host: str) -> None:
    assert is_loopback_host(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.com", "", "localhost.example.com"])
def test_hosts_that_do_not(host: str) -> None:
    assert not is_loopback_host(host)


def test_the_policy_can_be_read() -> None:
    assert repr(OriginPolicy((), True)) == "<OriginPolicy same host or loopback>"
    assert repr(OriginPolicy(("https://a.example", "null"), True)) == "<OriginPolicy null, https://a.example:443>"


class Answer:
    """What a client saw of one request, and who answered it."""

    def __init__(self, sent: list[dict[str, Any]]) -> None:
        self.status: int = sent[0]["status"]
        self.headers: list[tuple[bytes, bytes]] = list(sent[0]["headers"])
        self.body = b"".join(message.get("body", b"") for message in sent[1:])

    def get(self, name: bytes) -> bytes | None:
        found = [value for key, value in self.headers if key == name]
        return b", ".join(found) if found else None

    @property
    def cors(self) -> list[bytes]:
        return [key for key, _ in self.headers if key.startswith(b"access-control-")]


def request(method: str, *headers: tuple[bytes, bytes], allowed: tuple[str, ...] = LIST) -> Answer:
    sent: list[dict[str, Any]] = []

    def answering(status: int, body: bytes) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": status, "headers": [(b"retry-after", b"1")]})
            await send({"type": "http.response.body", "body": body})

        return app

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("the middleware reads no body")

    app = CorsMiddleware(
        answering(200, b"served"), OriginPolicy(allowed, False), answering(403, b"refused"), answering(415, b"a form")
    )
    scope = {"type": "http", "method": method, "headers": [(b"host", b"presence.example.com"), *headers]}
    asyncio.run(app(scope, receive, send))
    return Answer(sent)


OURS = (b"origin", b"https://chat.example.com")
FOREIGN = (b"origin", b"https://evil.example")
JSON = (b"content-type", b"application/json; charset=utf-8")
ASKS_POST = (b"access-control-request-method", b"POST")


def test_a_preflight_of_an_allowed_origin_is_answered_without_the_application() -> None:
    answer = request("OPTIONS", OURS, ASKS_POST, (b"access-control-request-headers", b"content-type,x-trace"))
    assert (answer.status, answer.body) == (204, b"")
    assert answer.get(b"access-control-allow-origin") == b"https://chat.example.com"
    assert answer.get(b"access-control-allow-methods") == b"GET, POST, PUT, PATCH, DELETE"
    assert answer.get(b"access-control-allow-headers") == b"content-type,x-trace"
    assert answer.get(b"access-control-max-age") == b"600"
    assert b"Origin" in (answer.get(b"vary") or b"")
    assert b"access-control-allow-credentials" not in answer.cors


def test_a_preflight_echoes_nothing_but_field_names() -> None:
    answer = request("OPTIONS", OURS, ASKS_POST, (b"access-control-request-headers", b"a: b\r\nset-cookie: c"))
    assert answer.status == 204
    assert b"access-control-allow-headers" not in answer.cors


def test_a_foreign_preflight_is_refused() -> None:
    answer = request("OPTIONS", FOREIGN, ASKS_POST)
    assert (answer.status, answer.body, answer.cors) == (403, b"refused", [])


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_an_allowed_page_may_read_the_answer(method: str) -> None:
    answer = request(method, OURS, JSON)
    assert (answer.status, answer.body) == (200, b"served")
    assert answer.get(b"access-control-allow-origin") == b"https://chat.example.com"
    assert answer.get(b"access-control-expose-headers") == b"Retry-After"
    assert answer.get(b"vary") == b"Origin"
    assert answer.get(b"retry-after") == b"1"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "BREW"])
def test_a_foreign_page_may_change_nothing(method: str) -> None:
    answer = request(method, FOREIGN)
    assert (answer.status, answer.body, answer.cors) == (403, b"refused", [])


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_foreign_page_is_served_what_it_cannot_read(method: str) -> None:
    answer = request(method, FOREIGN)
    assert (answer.status, answer.body, answer.cors) == (200, b"served", [])
    assert answer.get(b"vary") == b"Origin"


def test_two_origins_are_foreign() -> None:
    assert request("POST", OURS, OURS).status == 403


def test_the_same_host_is_allowed_beside_a_list() -> None:
    assert request("POST", (b"origin", b"https://presence.example.com"), JSON).status == 200


def test_without_an_origin_only_vary_is_added() -> None:
    answer = request("POST")
    assert (answer.status, answer.cors, answer.get(b"vary")) == (200, [], b"Origin")


def test_with_a_star_every_page_may_read_and_write() -> None:
    answer = request("POST", (b"origin", b"null"), JSON, allowed=("*",))
    assert (answer.status, answer.get(b"access-control-allow-origin")) == (200, b"null")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    "kind", [None, b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/json", b""]
)
def test_what_a_form_may_send_is_taken_from_no_page(method: str, kind: bytes | None) -> None:
    types = () if kind is None else ((b"content-type", kind),)
    assert request(method, OURS, *types).status == 415
    assert request(method, (b"sec-fetch-site", b"same-origin"), *types).status == 415
    assert request(method, (b"sec-fetch-site", b"cross-site"), *types).status == 403
    assert request(method, *types).status == 200  # no browser


@pytest.mark.parametrize("site", [b"cross-site", b"same-site"])
def test_a_foreign_page_may_link_here_and_nothing_else(site: bytes) -> None:
    comes_from = (b"sec-fetch-site", site)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert request(method, comes_from, JSON).status == 403
    link = ((b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"document"))
    frame = ((b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"iframe"))
    image = ((b"sec-fetch-mode", b"no-cors"), (b"sec-fetch-dest", b"image"))
    assert request("GET", comes_from, *link).status == 200
    assert request("GET", comes_from, *frame).status == 403
    assert request("GET", comes_from, *image).status == 403
    assert request("GET", comes_from, FOREIGN, (b"sec-fetch-mode", b"cors")).status == 403
    assert request("GET", comes_from, OURS, (b"sec-fetch-mode", b"cors")).status == 200
    assert request("POST", comes_from, OURS, JSON, (b"sec-fetch-mode", b"cors")).status == 200


@pytest.mark.parametrize("site", [b"same-origin", b"none"])
def test_our_own_page_and_the_address_bar_are_no_strangers(site: bytes) -> None:
    assert request("GET", (b"sec-fetch-site", site), (b"sec-fetch-mode", b"cors")).status == 200
    assert request("POST", (b"sec-fetch-site", site), JSON, (b"sec-fetch-mode", b"cors")).status == 200


@pytest.mark.parametrize("mode", [b"navigate", b"no-cors"])
def test_nothing_is_changed_by_a_form_or_without_asking(mode: bytes) -> None:
    assert request("POST", OURS, JSON, (b"sec-fetch-mode", mode)).status == 403


def test_other_scopes_pass_untouched() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    scope, receive, send = {"type": "lifespan"}, object(), object()
    asyncio.run(CorsMiddleware(app, OriginPolicy((), False), app, app)(scope, receive, send))  # type: ignore[arg-type]
    assert seen == [(scope, receive, send)]
