"""Keys that tokens are verified with, and the algorithms that each allows.

What a key is decides how it may be used, never what a token says: a token that names HS256 and was "signed" with the
text of a public key is refused, because a public key allows no HS256 (RFC 8725, section 3.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

HMAC: Final = ("HS256", "HS384", "HS512")
RSA: Final = ("RS256", "PS256")
EC: Final = ("ES256",)
EDWARDS: Final = ("EdDSA",)

ALGORITHMS: Final = (*HMAC, *RSA, *EC, *EDWARDS)
"""All that are taken, one key or another. `none` is not one."""

MIN_RSA_BITS: Final = 2048
"""RFC 7518, section 3.3."""

SAFE_SECRET: Final = 32
"""Bytes from which on a secret cannot be guessed from a token: RFC 7518, section 3.2."""

LISTED: Final = re.compile(r"\s*([A-Za-z0-9._~-]+)=@([^,]+)\s*")
"""One of several keys, as `--jwt-key` names them: `kid=@path`."""


class UnusableKey(Exception):
    """A key cannot be used. Its text is one line without the key."""


class VerifyingKey(NamedTuple):
    """`kid` None: the key is tried for every token. `key` is what PyJWT takes: bytes or a public key."""

    kid: str | None
    key: Any
    algorithms: tuple[str, ...]


def key_of(text: str, kid: str | None = None) -> VerifyingKey:
    """A key from a PEM (public key, certificate, or private key, of which only the public part is kept) or a secret.

    Raises:
        UnusableKey: it is empty, damaged, too short, or of a kind that no algorithm here takes.
    """
    if "-----BEGIN" in text:
        return _asymmetric(_public_key_of(text.encode()), kid)
    secret = text.strip().encode()
    if not secret:
        raise UnusableKey("is empty")
    return VerifyingKey(kid, secret, HMAC)


def _public_key_of(pem: bytes) -> Any:
    try:
        if b"CERTIFICATE-----" in pem:
            return load_pem_x509_certificate(pem).public_key()
        if b"PRIVATE KEY-----" in pem:
            return load_pem_private_key(pem, None).public_key()
        return load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UnusableKey("is no PEM of a public key, a certificate, or a private key without a passphrase") from None


def _asymmetric(key: Any, kid: str | None) -> VerifyingKey:
    if isinstance(key, RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            raise UnusableKey(f"is an RSA key of {key.key_size} bits; at least {MIN_RSA_BITS} are needed")
        return VerifyingKey(kid, key, RSA)
    if isinstance(key, EllipticCurvePublicKey):
        if not isinstance(key.curve, SECP256R1):
            raise UnusableKey(f"is on the curve {key.curve.name}; ES256 needs P-256")
        return VerifyingKey(kid, key, EC)
    if isinstance(key, Ed25519PublicKey | Ed448PublicKey):
        return VerifyingKey(kid, key, EDWARDS)
    raise UnusableKey("is of a kind that no algorithm here takes")


def keys_of_setting(setting: str) -> tuple[VerifyingKey, ...]:
    """What `--jwt-key` says: the secret or PEM itself, `@path`, or `kid=@path` several times, separated by commas.

    Raises:
        UnusableKey: a file cannot be read, or a key cannot be used.
    """
    listed = [LISTED.fullmatch(part) for part in setting.split(",")]
    if all(listed):
        kids = [found[1] for found in listed if found]
        if len(set(kids)) < len(kids):
            raise UnusableKey("names a kid twice")
        return tuple(_key_of_file(found[2], found[1]) for found in listed if found)
    if setting.startswith("@"):
        return (_key_of_file(setting[1:], None),)
    return (key_of(setting),)


def is_short(key: VerifyingKey) -> bool:
    """Whether it is a secret that somebody who has a token may find by trying."""
    return isinstance(key.key, bytes) and len(key.key) < SAFE_SECRET


def _key_of_file(path: str, kid: str | None) -> VerifyingKey:
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else "is not UTF-8"
        raise UnusableKey(f"{path}: {reason}") from None
    try:
        return key_of(text, kid)
    except UnusableKey as reason:
        raise UnusableKey(f"{path}: {reason}") from None


def keys_of_set(raw: Any) -> tuple[VerifyingKey, ...]:
    """The keys of a JWK set (RFC 7517) that can be used; the others are left out, as section 5 asks.

    A symmetric key in a set that is fetched would be known to all who fetch it: left out as well.

    Raises:
        UnusableKey: it is no JWK set, or none of its keys can be used.
    """
    members = raw.get("keys") if isinstance(raw, Mapping) else None
    if not isinstance(members, list):
        raise UnusableKey('is no JWK set: it must be an object with "keys"')
    keys = tuple(_usable(members))
    if not keys:
        raise UnusableKey("holds no key that can be used")
    return keys


def _usable(members: Iterable[Any]) -> Iterable[VerifyingKey]:
    for member in members:
        if not isinstance(member, Mapping) or member.get("kty") not in ("RSA", "EC", "OKP"):
            continue
        if member.get("use", "sig") != "sig":
            continue
        kid = member.get("kid")
        try:
            public = {name: value for name, value in member.items() if name not in ("d", "p", "q", "dp", "dq", "qi")}
            found = _asymmetric(jwt.PyJWK.from_dict(public).key, kid if isinstance(kid, str) else None)
        except (UnusableKey, jwt.PyJWTError, ValueError, TypeError):
            continue
        named = member.get("alg")
        if named is not None:
            found = found._replace(algorithms=tuple(one for one in found.algorithms if one == named))
        if found.algorithms:
            yield found
