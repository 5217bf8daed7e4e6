"""`presence-server token --user 10001 --jwt-key SECRET`: a signed token, for tests and first steps.

It is signed with what the settings say (`--jwt-key`, `--jwt-issuer`, `--jwt-audience`, `--jwt-user-claim`, from flags,
variables and `--config` alike), so that a server with the same settings takes it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any, Final

from presence_protocol.user_ids import IdKind, kind_of
from presence_server.application.principals import SCOPES
from presence_server.commands.arguments import CommandParser, complain
from presence_server.domain.platforms import check_names
from presence_server.identity.claims import CLAIM
from presence_server.identity.jwt_keys import UnusableKey
from presence_server.identity.signing import sign
from presence_server.log_output import say
from presence_server.settings import PROGRAM, SettingsError, load

LIFE: Final = 3600.0
"""Seconds."""

NO_KEY: Final = "--jwt-key: is needed to sign: a secret or a private PEM, or @path of one"


def run(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    parser = CommandParser(
        prog=f"{PROGRAM} token",
        description="Sign a token for tests. Give the server's own settings, such as --jwt-key, as well.",
        allow_abbrev=False,
    )
    parser.add_argument("--user", metavar="ID", help="whose it is")
    parser.add_argument("--device", metavar="ID", help="bind it to one device")
    parser.add_argument("--platforms", metavar="LIST", help="bind it to some platforms, such as WEB,IOS")
    parser.add_argument("--observe", action="store_true", help="let it watch without a user")
    parser.add_argument("--scopes", metavar="LIST", help="make it a service's: some of read,write,admin")
    parser.add_argument(
        "--expires-in", type=float, default=LIFE, metavar="SECONDS", help="until it ends (default: 3600)"
    )
    parser.add_argument("--kid", help="the key to sign with, where --jwt-key names several (default: the first)")
    given, rest = parser.parse_known_args(argv)
    try:
        settings = load(["--auth", "jwt", *rest], environ)
        if not settings.jwt_key:
            return complain(NO_KEY)
        claims = _claims(given, settings.jwt_user_claim, kind_of(settings.user_ids))
        if settings.jwt_issuer:
            claims["iss"] = settings.jwt_issuer
        if settings.jwt_audience:
            claims["aud"] = settings.jwt_audience
        token = sign(claims, settings.jwt_key, given.kid)
    except SettingsError as wrong:
        return complain(NO_KEY if wrong.reason == "jwt needs jwt_key or jwks" else wrong)
    except UnusableKey as wrong:
        return complain(f"--jwt-key: {wrong}")
    except ValueError as wrong:
        return complain(wrong)
    say(sys.stdout, token)
    return 0


def _claims(given: Any, user_claim: str, ids: IdKind) -> dict[str, Any]:
    """What the token says. Raises ValueError that names the flag."""
    scopes, platforms = _listed(given.scopes), _listed(given.platforms)
    if given.user is None and not scopes:
        raise ValueError("--user: is needed, or --scopes for a service")
    if given.user is not None:
        _check("--user", lambda: ids.of_text(given.user))
    if not set(scopes) <= SCOPES:
        raise ValueError(f"--scopes: must be some of {','.join(sorted(SCOPES))}")
    if platforms:
        _check("--platforms", lambda: check_names(platforms))
    if not isfinite(given.expires_in):
        raise ValueError("--expires-in: must be a finite number of seconds")
    now = int(time.time())
    claims: dict[str, Any] = {"iat": now, "exp": now + round(given.expires_in)}
    if given.user is not None:
        claims[user_claim] = given.user  # RFC 7519, section 4.1.2: a string
    wanted = {"device": given.device, "platforms": platforms, "observe": given.observe, "scopes": scopes}
    limits = {name: value for name, value in wanted.items() if value}
    return claims | ({CLAIM: limits} if limits else {})


def _check(flag: str, check: Callable[[], object]) -> None:
    """Raises ValueError that names the flag."""
    try:
        check()
    except ValueError as reason:
        raise ValueError(f"{flag}: {reason}") from None


def _listed(text: str | None) -> list[str]:
    return [one.strip() for one in (text or "").split(",") if one.strip()]
