"""How a server is reached: URLs, tokens, headers and proxies as people write them, and where redirects lead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from presence_client import InvalidSetting, PresenceApi, PresenceError, connect
from presence_client.address import Address, redacted
from presence_client.identity import Identity
from presence_client.proxies import proxy_of
from presence_client.redirects import redirect_of
from presence_client.route import Route
from presence_client.values import token_of

# --- addresses -------------------------------------------------------------------------------------------------------


URLS = json.loads((Path(__file__).parents[1] / "vectors" / "urls.json").read_text("utf-8"))["cases"]


@pytest.mark.parametrize("case", URLS, ids=lambda case: json.dumps(case["url"]))
def test_a_url_means_the_same_to_every_sdk(case: dict[str, Any]) -> None:
    if case["websocket"] is not None:
        assert Address.parse(case["url"]).websocket == case["websocket"]
        return
    with pytest.raises(InvalidSetting, match="is not a server's URL") as refused:
        Address.parse(case["url"])
    assert "CRET" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "rest"),
    [
        ("http://a.example", "http://a.example/api/v1/presence"),
        (" HTTPS://A.example/\n", "https://a.example/api/v1/presence"),
        ("wss://a.example/x/api/v1/presence/ws", "https://a.example/x/api/v1/presence"),
        ("http://[::1]:80/", "http://[::1]:80/api/v1/presence"),
        ("http://bücher.example", "http://xn--bcher-kva.example/api/v1/presence"),
        ("http://a_b.example/ä b", "http://a_b.example/%C3%A4%20b/api/v1/presence"),
        ("http://me:pw@a.example", "http://a.example/api/v1/presence"),
    ],
)
def test_a_url_as_people_write_it(url: str, rest: str) -> None:
    address = Address.parse(url)
    assert address.rest == rest
    assert address.websocket == rest.replace("http", "ws", 1) + "/ws"


@pytest.mark.parametrize(
    "url",
    [
        "", "a.example", "a.example:80", "ftp://a", "http://", "http://a:x", "http://a:0", "http://a:70000", "http://a?b",
        "http://a/?", "http://a#b", "http://[::1", "http://[x]", "http://a b", "http://a..b", "http://.", "http:///x",
        "http://" + "a" * 64, "http://a\x00b", "http://a%20b", "http://a/\x1b",
    ],
)  # fmt: skip
def test_what_is_no_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidSetting, match="is not a server's URL"):
        connect(url, observer=True)
    with pytest.raises(ValueError, match="is not a server's URL"):
        PresenceApi(url)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://me:SECRET@a.example", "http://me:SECRET@a.example:x", "http://me:SE/CRET@a.example",
        "http://me:SECRET@", "me:SECRET@a.example", "http://me:SECRET@a@b@c d", "http://a.example/?token=SECRET", "http://a.example/#SECRET",
        "http://me:SE?CRET@a.example", "http://me:SE CRET@",
    ],
)  # fmt: skip
def test_no_password_of_a_url_is_told(url: str) -> None:
    with pytest.raises(ValueError, match="is not a server's URL") as refused:
        Address.parse(url)
    assert "CRET" not in repr(refused.value)


def test_the_password_of_a_good_url_is_used_and_not_told() -> None:
    address = Address.parse("https://me:p%40w@a.example/x")
    assert address.authorization == "Basic bWU6cEB3"
    assert (address.given, repr(address)) == ("https://a.example/x", "<Address https://a.example/x>")
    assert Route(address, environment={}).headers == {"authorization": "Basic bWU6cEB3"}
    assert Route(address, {"Authorization": "x"}, environment={}).headers == {"authorization": "x"}


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1", True), ("http://127.9.9.9", True), ("http://[::1]", True), ("http://localhost", True),
        ("http://[::ffff:127.0.0.1]", True), ("http://LOCALHOST.", True), ("http://app.localhost", True),
        ("http://10.0.0.1", False), ("http://notlocalhost", False), ("http://localhost.example", False),
    ],
)  # fmt: skip
def test_this_machine(url: str, local: bool) -> None:
    assert Address.parse(url).is_local is local


def test_secrets_are_taken_out_of_words() -> None:
    assert redacted("https://me:pw@a.example/x?token=t isn't valid") == "https://a.example/x isn't valid"


# --- tokens and headers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["t.T_~+/=", "t.T_~+/=\n", " t.T_~+/=\r\n", "\ufefft.T_~+/="])
def test_a_token_is_stripped(token: str) -> None:
    assert token_of(token) == "t.T_~+/="


@pytest.mark.parametrize(
    "token", ["", " \n", "SECRET\nSECRET", "SECRET\x00", "SECRET\x7f", "SECRET\ud800", 17, b"SECRET"]
)
def test_what_can_be_no_token_is_refused_at_once_and_not_told(token: Any) -> None:
    for make in (lambda: PresenceApi("http://a", token=token), lambda: connect("http://a", observer=True, token=token)):
        if not isinstance(token, str):
            with pytest.raises(InvalidSetting):
                token_of(token)
            continue
        with pytest.raises(InvalidSetting, match=r"^token ") as refused:
            make()
        error: BaseException | None = refused.value
        while error is not None:
            assert "SECRET" not in repr(error)
            error = error.__cause__ or error.__context__


def test_a_token_is_in_no_repr() -> None:
    assert "SECRET" not in repr(Identity(observer=True, token="SECRET"))


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Key": "SECRET\r\nX: y"}, {"X-Key": 1}, {"X Key": "SECRET"}, {"": "SECRET"}, {1: "SECRET"}, ["X-Key"],
        {"Host": "a"}, {"Sec-WebSocket-Protocol": "a"}, {"content-length": "3"}, {"X-Key": "SECRET\x00"},
    ],
)  # fmt: skip
def test_what_can_be_no_header_is_refused_at_once(headers: Any) -> None:
    with pytest.raises(InvalidSetting, match=r"^headers") as refused:
        connect("http://a", observer=True, headers=headers)
    assert "SECRET" not in repr(refused.value)
    with pytest.raises(PresenceError, match=r"^headers"):
        PresenceApi("http://a", headers=headers)


# --- proxies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("http://a", {}, None),
        ("http://a", {"http_proxy": "p:9"}, "http://p:9"),
        ("ws://a", {"http_proxy": "p:9"}, "http://p:9"),
        ("http://a", {"http_proxy": "http://p"}, "http://p:1080"),
        ("http://a", {"http_proxy": "https://p"}, "https://p:443"),
        ("http://a", {"http_proxy": " http://me:p%40w@p:9/ \n"}, "http://me:p%40w@p:9"),
        ("http://a", {"http_proxy": "me@p:9"}, "http://me:@p:9"),
        ("http://a", {"http_proxy": "[::2]:9"}, "http://[::2]:9"),
        ("http://a", {"HTTP_PROXY": "p:9"}, None),  # a client of a CGI program could have set it
        ("http://a", {"https_proxy": "p:9"}, None),
        ("https://a", {"http_proxy": "p:9"}, None),
        ("https://a", {"HTTPS_PROXY": "p:9"}, "http://p:9"),
        ("wss://a", {"https_proxy": "p:9", "HTTPS_PROXY": "q:9"}, "http://p:9"),
        ("wss://a", {"https_proxy": "p:9", "wss_proxy": "q:9"}, "http://q:9"),
        ("ws://a", {"all_proxy": "socks5://p"}, "socks5://p:1080"),
        ("https://a", {"ALL_PROXY": "socks5h://p:9"}, "socks5h://p:9"),
        ("http://a", {"http_proxy": "", "all_proxy": "p:9"}, None),
        ("http://a", {"socks_proxy": "socks5://p"}, None),
        ("http://127.0.0.1", {"http_proxy": "p:9"}, None),
        ("http://localhost:80", {"all_proxy": "p:9"}, None),
    ],
)
def test_the_proxy_is_that_of_curl(url: str, environment: dict[str, str], proxy: str | None) -> None:
    found = proxy_of(url, environment)
    assert (found and found.url) == proxy


@pytest.mark.parametrize(
    ("host", "excepted", "is_excepted"),
    [
        ("a.example", "*", True),
        ("a.example", "example", True),
        ("a.example", ".example", True),
        ("example", ".example", True),
        ("a.example", "b.example, a.example", True),
        ("a.example", "b.example a.example", True),
        ("a.example", "A.EXAMPLE.", True),
        ("aexample", "example", False),
        ("a.example", "a.example:81", False),
        ("a.example", "a.example:80", True),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "11.0.0.0/8", False),
        ("[2001:db8::1]", "2001:db8::/32", True),
        ("[2001:db8::1]", "[2001:db8::1]", True),
        ("a.example", "10.0.0.0/8,,", False),
    ],
)
def test_who_needs_no_proxy(host: str, excepted: str, is_excepted: bool) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        found = proxy_of(f"http://{host}:80", {"http_proxy": "p:9", name: excepted})
        assert (found is None) is is_excepted


@pytest.mark.parametrize(
    "value",
    ["ftp://p", "http://", "http://p:x", "socks4://p", "://p", "p q", "http://me:SECRET@", "http://me:SECRET@p:x",
     "http://me:SE CRET@p", "[::1", "a" * 64],
)  # fmt: skip
def test_what_is_no_proxy_is_an_error_that_names_the_variable(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", value)
    for make in (lambda: PresenceApi("http://a"), lambda: connect("http://a", observer=True)):
        with pytest.raises(PresenceError, match=r"^http_proxy ") as refused:
            make()
        assert "CRET" not in str(refused.value)


def test_a_socks_proxy_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks5://p:9")
    monkeypatch.setattr("presence_client.route._FOR_SOCKS", {"no_such_module": "a-package"})
    with pytest.raises(PresenceError, match=r"^all_proxy names a SOCKS proxy, which needs: pip install a-package$"):
        connect("https://a", observer=True)


# --- redirects -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "location", "to", "is_trusted"),
    [
        ("http://a/x", "/y", "http://a/y", True),
        ("http://a/x", "https://a/x", "https://a/x", True),
        ("http://a:80/x", "https://a:443/x", "https://a:443/x", True),
        ("http://a:81/x", "https://a/x", "https://a/x", False),
        ("https://a/x", "https://b/x", "https://b/x", False),
        ("https://a/x", "https://a:444/x", "https://a:444/x", False),
        ("https://a/x", "http://a/x", "", False),
        ("ws://a/ws", "https://a/ws", "wss://a/ws", True),
        ("wss://a/ws", "/other/ws", "wss://a/other/ws", True),
        ("ws://a/ws", "ws://b/ws?x=1#y", "ws://b/ws?x=1", False),
        ("http://a/x", "https://me:SECRET@a/x", "https://a/x", True),
        ("http://a/x", "ftp://a/x", "", False),
        ("http://a/x", "http://[", "", False),
        ("http://a/x", None, "", False),
    ],
)
def test_where_a_redirect_leads(url: str, location: str | None, to: str, is_trusted: bool) -> None:
    redirect = redirect_of(url, 308, location)
    assert redirect is not None
    assert (redirect.url, redirect.is_trusted) == (to, is_trusted)
    assert "SECRET" not in str(redirect)


def test_only_redirects_redirect() -> None:
    assert redirect_of("http://a/x", 200, "http://b") is None
    assert redirect_of("http://a/x", 304, "http://b") is None
    assert str(redirect_of("http://a/api/v1/presence/online", 301, "https://a/api/v1/presence/online?t=SECRET")) == (
        "redirects to https://a"
    )
