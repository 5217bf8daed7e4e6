"""A signed token (JWT, RFC 7519) -> a principal.

What was verified, and comes again, is remembered: see `verified`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import jwt

from presence_server.application.principals import Denied, Principal
from presence_server.identity.claims import EXPIRED, Rules, principal_of
from presence_server.identity.jwks import KeySet
from presence_server.identity.jwt_keys import ALGORITHMS, VerifyingKey
from presence_server.identity.verified import Verified, digest_of

MAX_TOKEN: Final = 8_192
"""Characters. A token with a long list of groups has 4 KB."""

MAX_CANDIDATES: Final = 16
"""Keys that one token is tried with, so that a token without `kid` costs a bounded time."""

Done = Callable[[Principal | Denied], None]


class TokenVerifier:
    def __init__(
        self,
        keys: tuple[VerifyingKey, ...],
        fetched: KeySet | None,
        rules: Rules,
        issuer: str = "",
        audience: str = "",
    ) -> None:
        self._keys = keys
        self._fetched = fetched
        self._rules = rules
        self._issuer = issuer
        self._audience = audience
        self._verified = Verified()

    def verify(self, token: str, now: float, done: Done) -> None:
        """Tell `done` whose token it is, at once or once the keys were fetched. `now` is in seconds since 1970."""
        known = self._verified.find(digest_of(token))
        if known is not None:
            done(Denied(401, EXPIRED) if known.expires_at is not None and now >= known.expires_at else known)
            return
        if len(token) > MAX_TOKEN:
            done(Denied(401, f"the token is longer than {MAX_TOKEN} characters"))
            return
        try:
            head = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            done(Denied(401, "the token is not a signed JWT"))
            return
        kid, algorithm = head.get("kid"), head.get("alg")
        if algorithm not in ALGORITHMS:
            done(Denied(401, f"the token's algorithm must be one of {', '.join(ALGORITHMS)}"))
        elif kid is not None and not isinstance(kid, str):
            done(Denied(401, "the token's kid must be a string"))
        else:
            own = tuple(key for key in self._keys if kid is None or key.kid is None or key.kid == kid)
            verify = partial(self._verify_with_all, token, algorithm, now, done, own)
            if self._fetched is None or any(key.kid == kid for key in own if kid is not None):
                verify(())
            else:
                self._fetched.find(kid, verify)

    def _verify_with_all(
        self,
        token: str,
        algorithm: str,
        now: float,
        done: Done,
        own: tuple[VerifyingKey, ...],
        fetched: tuple[VerifyingKey, ...] | None,
    ) -> None:
        if own or fetched:
            made = self._verify_with(token, algorithm, [*own, *(fetched or ())], now)
        else:
            made = Denied(401, "the token's kid is not known")
        if fetched is None and isinstance(made, Denied):
            made = Denied(503, "the keys of the issuer cannot be had now")
        done(made)

    def _verify_with(self, token: str, algorithm: str, keys: list[VerifyingKey], now: float) -> Principal | Denied:
        fitting = [key for key in keys if algorithm in key.algorithms][:MAX_CANDIDATES]
        if not fitting:
            return Denied(401, f"the key of the token is not for {algorithm}")
        claims: Any = None
        for key in fitting:
            try:
                claims = _signed_claims(token, key, algorithm)
                break
            except jwt.InvalidSignatureError:
                continue
            except (jwt.PyJWTError, ValueError, RecursionError):
                return Denied(401, "the token is damaged")
        if claims is None:
            return Denied(401, "the token's signature does not fit")
        if not isinstance(claims, dict):
            return Denied(401, "the token's claims must be an object")
        if self._issuer and claims.get("iss") != self._issuer:
            return Denied(401, "the token's issuer is another")
        if self._audience and self._audience not in _listed(claims.get("aud")):
            return Denied(401, "the token is for another audience")
        made = principal_of(claims, self._rules, now)
        if isinstance(made, Principal):
            self._verified.add(digest_of(token), made)
        return made

    def use(self, keys: tuple[VerifyingKey, ...]) -> None:
        """The keys changed: verify everything anew."""
        self._keys = keys
        self.forget()

    def forget(self) -> None:
        """Keys may be gone that something was verified with."""
        self._verified.clear()


def _signed_claims(token: str, key: VerifyingKey, algorithm: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of short secrets the operator was told at start
        return json.loads(jwt.PyJWS().decode(token, key.key, algorithms=[algorithm]))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
