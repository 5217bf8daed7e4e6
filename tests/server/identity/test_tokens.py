"""A signed token -> a principal, and every way in which one may be wrong."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from presence_server.application.principals import Denied, Principal
from presence_server.identity.claims import Rules
from presence_server.identity.jwks import KeySet
from presence_server.identity.jwt_keys import UnusableKey, VerifyingKey, key_of, keys_of_set, keys_of_setting
from presence_server.identity.tokens import MAX_TOKEN, TokenVerifier
from server.identity.keys import NOW, SECRET, claims, jwk, private_key, private_pem, public_pem, sign


def user_id(subject: Any) -> int:
    if not isinstance(subject, str) or not subject.isdigit():
        raise ValueError("must be a user id")
    return int(subject)


RULES = Rules(user_id)


def verify(token: str, *keys: VerifyingKey, now: float = NOW, fetched: KeySet | None = None, **more: str) -> Any:
    made: list[Principal | Denied] = []
    TokenVerifier(keys or (key_of(SECRET),), fetched, RULES, **more).verify(token, now, made.append)
    (answer,) = made
    return answer


def reason(denied: Any) -> str:
    assert isinstance(denied, Denied)
    assert denied.status == 401
    return denied.reason


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_a_secret(algorithm: str) -> None:
    assert verify(sign(claims(), algorithm=algorithm)).user_id == 10001


@pytest.mark.parametrize(("kind", "algorithm"), [("rsa", "RS256"), ("rsa", "PS256"), ("ec", "ES256"), ("ed", "EdDSA")])
def test_a_public_key(kind: str, algorithm: str) -> None:
    token = sign(claims(), private_key(kind), algorithm)
    assert verify(token, key_of(public_pem(kind))).user_id == 10001
    assert verify(token, key_of(private_pem(kind))).user_id == 10001  # its public part
    assert verify(token, *keys_of_set({"keys": [jwk(kind)]})).user_id == 10001
    assert "signature" in reason(verify(token, key_of(public_pem(kind, 1))))


def test_what_a_user_token_may_say() -> None:
    limits = {"device": "phone", "platforms": ["IOS"], "observe": True}
    made = verify(sign(claims(presence=limits)))
    ends = NOW + 600 + RULES.leeway
    assert made == Principal("user", 10001, frozenset(), "phone", frozenset(("IOS",)), True, NOW, ends, 5.0)
    assert made.may_speak_for(10001, "phone", "IOS") is None
    assert made.may_speak_for(10002).status == 403
    assert made.may_speak_for(10001, "tablet").field == "deviceId"
    assert made.may_speak_for(10001, "phone", "WEB").field == "platform"


def test_a_service_token_needs_no_end() -> None:
    made = verify(sign({"sub": "crm", "presence": {"scopes": ["read"]}}))
    assert made.is_service
    assert made.may_watch() is None
    assert made.may_speak_for(1).status == 403


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (claims(exp=NOW - 6), "expired"),
        ({"sub": "10001"}, "must have exp"),
        (claims(exp="soon"), "exp must be a time"),
        (claims(exp=True), "exp must be a time"),
        (claims(exp=float(10**30)), "exp must be a time"),
        (claims(nbf=NOW + 6), "not valid yet"),
        (claims(iat=NOW + 6), "not valid yet"),
        ({"exp": NOW + 9}, "sub is missing"),
        (claims(sub="ann"), "sub must be a user id"),
        (claims(presence=[]), "presence must be an object"),
        (claims(presence={"device": 7}), "presence.device must be a string"),
        (claims(presence={"platforms": "IOS"}), "presence.platforms must be a list of strings"),
        (claims(presence={"observe": 1}), "presence.observe must be true or false"),
        (claims(presence={"scopes": ["root"]}), "presence.scopes must be some of"),
    ],
)
def test_what_a_token_says_is_wrong(wrong: dict[str, Any], why: str) -> None:
    assert why in reason(verify(sign(wrong)))


def test_clocks_may_differ_a_little() -> None:
    assert verify(sign(claims(exp=NOW - 4))).user_id == 10001
    assert verify(sign(claims(nbf=NOW + 4))).user_id == 10001


def test_issuer_and_audience() -> None:
    token = sign(claims(iss="us", aud=["presence", "chat"]))
    assert verify(token, issuer="us", audience="chat").user_id == 10001
    assert "issuer" in reason(verify(token, issuer="them"))
    assert "audience" in reason(verify(token, audience="mail"))
    assert "audience" in reason(verify(sign(claims()), audience="mail"))


def part(raw: Any) -> str:
    data = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize("none", ["none", "None", "NONE", "nOnE"])
def test_no_algorithm_is_none(none: str) -> None:
    token = f"{part({'alg': none, 'typ': 'JWT'})}.{part(claims())}."
    assert "algorithm must be one of" in reason(verify(token))


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed"])
def test_a_public_key_is_never_a_secret(kind: str) -> None:
    """The classic confusion: HS256, "signed" with the text of the public key."""
    import hmac
    from hashlib import sha256

    pem = public_pem(kind)
    signed = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims())}"
    for secret in (pem, pem.strip(), pem.replace("\n", "\r\n")):
        mac = hmac.new(secret.encode(), signed.encode(), sha256).digest()
        assert "is not for HS256" in reason(verify(f"{signed}.{part(mac)}", key_of(pem)))


def test_a_header_cannot_bring_its_own_key() -> None:
    attacker = private_key("ec", 7)
    token = sign(claims(), attacker, "ES256", jwk=jwk("ec", 7), jku="http://127.0.0.1/keys", kid="../../dev/null")
    assert "signature" in reason(verify(token, key_of(public_pem("ec"))))


def test_a_critical_header_is_refused() -> None:
    assert reason(verify(sign(claims(), crit=["b64"], b64=True)))


@pytest.mark.parametrize(
    "rubbish",
    ["", ".", "..", "a.b.c", "x" * (MAX_TOKEN + 1), "e30.e30.e30", "\x00", "\ud800", part(b"[" * 5000) + ".e30.e30"],
)
def test_rubbish_is_refused(rubbish: str) -> None:
    assert reason(verify(rubbish))


def test_claims_nested_too_deeply_are_refused() -> None:
    import hmac
    from hashlib import sha256

    signed = f"{part({'alg': 'HS256'})}.{part(b'[' * 3000)}"
    mac = hmac.new(SECRET.encode(), signed.encode(), sha256).digest()
    assert "damaged" in reason(verify(f"{signed}.{part(mac)}"))


def test_keys_are_rotated_by_kid(tmp_path: Any) -> None:
    (tmp_path / "old").write_text(SECRET + "\n", "utf-8")
    (tmp_path / "new.pem").write_text(public_pem("ec"), "utf-8")
    keys = keys_of_setting(f"a=@{tmp_path}/old, b=@{tmp_path}/new.pem")
    assert verify(sign(claims(), kid="a"), *keys).user_id == 10001
    assert verify(sign(claims(), private_key("ec"), "ES256", kid="b"), *keys).user_id == 10001
    assert "kid is not known" in reason(verify(sign(claims(), kid="c"), *keys))
    assert "is not for HS256" in reason(verify(sign(claims(), kid="b"), *keys))


def test_a_secret_may_hold_commas_and_equal_signs() -> None:
    (key,) = keys_of_setting("one,two=three,four=@")
    assert key.key == b"one,two=three,four=@"


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("@/nowhere/at/all", "No such file"),
        ("   ", "is empty"),
        ("-----BEGIN PUBLIC KEY-----\nrubbish\n-----END PUBLIC KEY-----", "is no PEM"),
        ("a=@/x,a=@/y", "names a kid twice"),
    ],
)
def test_a_key_that_cannot_be_used(setting: str, why: str) -> None:
    with pytest.raises(UnusableKey, match=why):
        keys_of_setting(setting)


def test_a_short_rsa_key_and_a_foreign_curve_are_refused() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    short = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    curve = ec.generate_private_key(ec.SECP384R1()).public_key()
    for key, why in ((short, "1024 bits"), (curve, "P-256")):
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        with pytest.raises(UnusableKey, match=why):
            key_of(pem)


def test_a_key_set_leaves_out_what_it_cannot_use() -> None:
    secret = {"kty": "oct", "k": part(SECRET.encode()), "kid": "s"}
    keys = keys_of_set(
        {
            "keys": [
                secret,
                {"kty": "RSA"},
                7,
                jwk("rsa", use="enc"),
                jwk("rsa", kid="r", alg="PS256"),
                jwk("ec", kid="e"),
            ]
        }
    )
    assert [(key.kid, key.algorithms) for key in keys] == [("r", ("PS256",)), ("e", ("ES256",))]
    for wrong in ({}, [], {"keys": {}}, {"keys": [secret]}):
        with pytest.raises(UnusableKey):
            keys_of_set(wrong)


def test_a_token_that_was_verified_still_ends() -> None:
    verifier = TokenVerifier((key_of(SECRET),), None, RULES)
    made: list[Principal | Denied] = []
    token = sign(claims())
    for now in (NOW, NOW + 599, NOW + 605):
        verifier.verify(token, now, made.append)
    assert [isinstance(one, Principal) for one in made] == [True, True, False]
