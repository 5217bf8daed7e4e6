"""Keys made for the tests, once."""

from __future__ import annotations

from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

NOW = 1_700_000_000.0
SECRET = "a secret of more than thirty-two bytes, so that nobody can guess it; long enough for HS512"


def private_key(kind: str, number: int = 0) -> Any:
    return _made(kind, number)


@cache
def _made(kind: str, number: int) -> Any:
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


def public_pem(kind: str, number: int = 0) -> str:
    key = private_key(kind, number).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem(kind: str) -> str:
    return private_key(kind).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def jwk(kind: str, number: int = 0, **more: Any) -> dict[str, Any]:
    algorithm = {"rsa": "RS256", "ec": "ES256", "ed": "EdDSA"}[kind]
    made: dict[str, Any] = jwt.get_algorithm_by_name(algorithm).to_jwk(
        private_key(kind, number).public_key(), as_dict=True
    )
    return made | more


def sign(claims: dict[str, Any], key: Any = SECRET, algorithm: str = "HS256", **headers: Any) -> str:
    return jwt.encode(claims, key, algorithm, headers=headers)


def claims(**more: Any) -> dict[str, Any]:
    return {"sub": "10001", "exp": NOW + 600, "iat": NOW} | more
