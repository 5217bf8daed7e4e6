"""Who says they are somebody else, over real sockets: what they are told, what a bystander's pings take meanwhile, and
what the server holds before, at worst and after. `pytest -s` prints it."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from attacks.bystander import From, watching
from presence_server.identity.service_keys import line_of, new_key, parse_scopes
from server.identity.keys import SECRET, jwk, private_key, public_pem, sign
from support.application import application
from support.raw import message, upgrade
from support.server import Server, run_server

MB = 1024
"""Kilobytes."""

NOW = time.time()
CLAIMS = {"sub": "666", "exp": NOW + 3600}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "secret").write_text(SECRET, "utf-8")
    (folder / "public").write_text(public_pem("rsa"), "utf-8")
    (folder / "keys").write_text(line_of("crm", new_key(lambda size: bytes(size)), parse_scopes("read")), "utf-8")
    with run_server(
        auth="jwt",
        jwt_key=f"secret=@{folder}/secret,rsa=@{folder}/public",
        service_keys=folder / "keys",
        address_requests=0,
    ) as running:
        yield running


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def ours(**more: Any) -> dict[str, Any]:
    return CLAIMS | more


def sign_raw(claims: dict[str, Any]) -> str:
    """What PyJWT would not sign."""
    signed = f"{part({'alg': 'HS256'})}.{part(claims)}"
    return f"{signed}.{part(hmac.digest(SECRET.encode(), signed.encode(), 'sha256'))}"


def hmac_with_public_key() -> str:
    """The text of the public key, which everybody has, as if it were a secret."""
    head = part({"alg": "HS256", "typ": "JWT", "kid": "rsa"})
    signed = f"{head}.{part(ours())}"
    return f"{signed}.{part(hmac.digest(public_pem('rsa').encode(), signed.encode(), 'sha256'))}"


TOKENS = {
    "no signature, alg none": f"{part({'alg': 'none'})}.{part(ours())}.",
    "alg nOnE": f"{part({'alg': 'nOnE'})}.{part(ours())}.{part(b'x')}",
    "an HMAC with the public key": hmac_with_public_key(),
    "a kid that is a path": sign(ours(), "x" * 32, kid="../../../../dev/null"),
    "a kid that is a query": sign(ours(), "x" * 32, kid="x' UNION SELECT 'x"),
    "a kid that is a number": f"{part({'alg': 'HS256', 'kid': 7})}.{part(ours())}.{part(b'x')}",
    "a key of its own in the head": sign(
        ours(), private_key("ec", 7), "ES256", jwk={"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}
    ),
    "a key set of its own in the head": sign(ours(), "x" * 32, jku="https://evil.example/keys"),
    "a secret of somebody else's": sign(ours(), "x" * 64),
    "expired": sign(ours(exp=NOW - 3600)),
    "not valid yet": sign(ours(nbf=NOW + 3600)),
    "issued in the future": sign(ours(iat=NOW + 3600)),
    "no end": sign({"sub": "666"}),
    "an end that is no number": sign_raw(ours(exp="tomorrow")),
    "claims that are no JSON": f"{part({'alg': 'HS256'})}.{part(b'{')}.{part(b'x')}",
    "oversized": sign(ours(padding="x" * 40_000)),
    "nested a thousand deep": f"{part({'alg': 'HS256'})}.{part(b'[' * 3000 + b']' * 3000)}.{part(b'x')}",
    "a head nested a thousand deep": f"{part(b'[' * 3000 + b']' * 3000)}.{part(ours())}.{part(b'x')}",
    "two tokens in one": sign(ours()) + "." + sign(ours()),
    "a service key that nobody has": new_key(lambda size: b"\1" * size),
    "no token at all": "psk_",
}


def test_no_token_but_ours_is_taken(server: Server) -> None:
    body = {"userId": 666, "deviceId": "d", "platform": "WEB"}
    good = {"Authorization": f"Bearer {sign(ours(sub='1'))}"}

    def attack(given: str) -> tuple[int, int]:
        answer = server.request("POST", "/online", body, {"Authorization": f"Bearer {given}"})
        with From(server) as client:
            client.send(upgrade({"Authorization": f"Bearer {given}"}))
            reply = client.reply()
            if reply.status != 101:
                return answer.status, reply.status
            client.send(message(type="hello", userId=666, deviceId="d", platform="WEB"))
            return answer.status, client.close_code()

    with watching(server) as seen, ThreadPoolExecutor(8) as pool:
        told = dict(zip(TOKENS, pool.map(attack, TOKENS.values()), strict=True))
        again = list(pool.map(attack, list(TOKENS.values()) * 10))
    assert {name: codes for name, codes in told.items() if codes not in ((401, 4401), (431, 431))} == {}
    assert set(again) <= {(401, 4401), (431, 431)}
    assert server.request("GET", "/status/666", None, good).data["status"] == "OFFLINE"
    assert seen.after - seen.before < 20 * MB


@pytest.mark.parametrize("wrong", [{"iss": "https://evil.example"}, {"aud": "other"}, {"iss": None}, {"aud": None}, {}])
def test_a_token_of_a_foreign_issuer_or_for_somebody_else_is_not_taken(wrong: dict[str, Any]) -> None:
    fits = {"iss": "https://us.example", "aud": ["presence", "chat"]}
    claims = {name: value for name, value in (ours() | fits | wrong).items() if value is not None}
    with run_server(auth="jwt", jwt_key=SECRET, jwt_issuer=fits["iss"], jwt_audience="presence") as strict:
        answer = strict.request("GET", "/status/1", None, {"Authorization": f"Bearer {sign(claims)}"})
        assert answer.status == (401 if wrong else 200)


def test_a_ticket_that_was_seen_in_a_log_is_worth_nothing(server: Server) -> None:
    given = {"Authorization": f"Bearer {sign(ours(sub='1'))}"}
    with watching(server) as seen:
        tickets = [server.request("POST", "/ticket", None, given).data["ticket"] for _ in range(50)]
        for ticket in tickets:
            assert server.request("GET", f"/status/1?ticket={ticket}").status == 200
            assert server.request("GET", f"/status/1?ticket={ticket}").status == 401
        with ThreadPoolExecutor(8) as pool:
            guessed = pool.map(lambda n: server.request("GET", f"/status/1?ticket={n:043d}").status, range(500))
            assert set(guessed) == {401}
    assert seen.after - seen.before < 20 * MB


def test_one_ticket_used_by_many_at_once_is_good_for_one(server: Server) -> None:
    given = {"Authorization": f"Bearer {sign(ours(sub='1'))}"}
    ticket = server.request("POST", "/ticket", None, given).data["ticket"]
    with ThreadPoolExecutor(16) as pool:
        told = list(pool.map(lambda _: server.request("GET", f"/status/1?ticket={ticket}").status, range(16)))
    assert sorted(told) == [200] + [401] * 15


@pytest.mark.parametrize("answer", ["slow", "10 MB", "garbage", "error"])
def test_made_up_kids_make_nobody_wait_for_an_issuer_in_trouble(answer: str) -> None:
    with application() as (issuer, url):
        issuer.keys(jwk("ec", 0, kid="one"))
        with run_server(auth="jwt", jwt_key=SECRET, jwks=url, address_requests=0) as asking, watching(asking) as seen:
            issuer.delay = 60.0 if answer == "slow" else 0.0
            issuer.status = 500 if answer == "error" else 200
            issuer.body = b"x" * 10_000_000 if answer == "10 MB" else b"rubbish"
            asked = len(issuer.asked)

            def attack(number: int) -> int:
                given = sign(ours(), private_key("ec", 1), "ES256", kid=f"made-up-{number}")
                return asking.request("GET", "/status/1", None, {"Authorization": f"Bearer {given}"}).status

            with ThreadPoolExecutor(16) as pool:
                told = set(pool.map(attack, range(300)))
            known = sign(ours(sub="1"), private_key("ec", 0), "ES256", kid="one")
            assert asking.request("GET", "/status/1", None, {"Authorization": f"Bearer {known}"}).status == 200
        assert told <= {401, 503}
        assert len(issuer.asked) <= asked + 2  # at most once in ten seconds
        assert seen.worst - seen.before < 40 * MB


def test_an_application_that_hangs_holds_nothing_up() -> None:
    with application() as (app, url):
        app.body = json.dumps({"userId": 999_999, "expiresIn": 600}).encode()
        with run_server(auth="webhook", auth_url=url, address_requests=0) as asking, watching(asking) as seen:
            app.delay = 60.0
            with ThreadPoolExecutor(150) as pool:
                told = list(
                    pool.map(
                        lambda n: asking.request("GET", "/status/1", None, {"Authorization": f"Bearer t{n}"}).status,
                        range(300),
                    )
                )
        assert set(told) == {503}
        assert seen.worst - seen.before < 40 * MB


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8004", "127.0.0.1.evil.example", "localhost.evil.example", "", "a b", "[::1"]
)
def test_a_name_that_was_rebound_to_this_machine_opens_nothing(host: str) -> None:
    """DNS rebinding: to the browser the page comes from here, so its Origin fits; only the Host tells."""
    with run_server() as open_server:
        named = {"Host": host, "Origin": f"http://{host}"}
        body = {"userId": 666, "deviceId": "d", "platform": "WEB"}
        assert open_server.request("POST", "/online", body, named).status in (400, 421)
        assert open_server.request("GET", "/status/1", None, named).status in (400, 421)
        with From(open_server) as client:
            client.send(upgrade(named))
            assert client.reply().status in (400, 421)
        assert open_server.status_of(666) == "OFFLINE"


def test_a_proxy_on_the_same_machine_opens_nothing() -> None:
    with run_server() as open_server:
        for name, value in (
            ("X-Forwarded-For", "127.0.0.1"),
            ("Forwarded", "for=127.0.0.1"),
            ("Via", "1.1 proxy"),
            ("X-Real-IP", "127.0.0.1"),
        ):
            assert open_server.request("GET", "/status/1", None, {name: value}).status == 401
            with From(open_server) as client:
                client.send(upgrade({name: value}))
                assert client.reply().status == 101
                client.send(message(type="hello", observer=True))
                assert client.close_code() == 4401
