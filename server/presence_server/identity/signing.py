"""Signs tokens, for tests and first steps. A server only verifies: in earnest the application signs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from presence_server.identity.jwt_keys import LISTED, UnusableKey, VerifyingKey, key_of


def sign(claims: Mapping[str, Any], setting: str, kid: str | None = None) -> str:
    """A token with `claims`, signed with the key that `--jwt-key` names: a secret, or a private PEM.

    Of several keys it is that of `kid`, else the first.

    Raises:
        UnusableKey: it cannot be read, or is a public key, which signs nothing.
    """
    named, text = _text_of(setting, kid)
    public: VerifyingKey = key_of(text)
    key: Any = public.key
    if not isinstance(key, bytes):
        try:
            key = load_pem_private_key(text.encode(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise UnusableKey("is a public key; a private one is needed to sign") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `check` and the server tell of short secrets
        return jwt.encode(dict(claims), key, public.algorithms[0], headers={} if named is None else {"kid": named})


def _text_of(setting: str, kid: str | None) -> tuple[str | None, str]:
    listed = [LISTED.fullmatch(part) for part in setting.split(",")]
    if all(listed):
        paths = {found[1]: found[2] for found in listed if found}
        named = next(iter(paths)) if kid is None else kid
        if named not in paths:
            raise UnusableKey(f"has no kid {named}")
        return named, _read(paths[named])
    return kid, _read(setting[1:]) if setting.startswith("@") else setting


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else "is not UTF-8"
        raise UnusableKey(f"{path}: {reason}") from None
