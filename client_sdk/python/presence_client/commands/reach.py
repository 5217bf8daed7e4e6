"""What every command takes to reach a server: `--url`, `--ca`, `--insecure`, `--token-file`, and their variables."""

from __future__ import annotations

import argparse
import ssl
from collections.abc import Mapping
from typing import NamedTuple

from presence_client.address import DEFAULT_URL, Address
from presence_client.errors import InvalidSetting
from presence_client.values import Token, token_of
from presence_protocol.user_ids import KINDS, IdKindName

LONGEST_TOKEN = 65536
"""Characters that are read of a token's file."""


class Reach(NamedTuple):
    """A server, what to show it, and whom to trust: as `connect` takes them."""

    url: str
    token: Token | None
    ssl: ssl.SSLContext | None
    user_ids: IdKindName = "number"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags to a command."""
    parser.add_argument("--url", help=f"the server (default: PRESENCE_URL, else {DEFAULT_URL})")
    parser.add_argument("--token-file", metavar="FILE", help="a file that holds the token (default: PRESENCE_TOKEN)")
    kind = parser.add_argument(
        "--user-ids", choices=tuple(KINDS), help="what user ids are there (default: PRESENCE_USER_IDS, else number)"
    )
    kind.metavar = "|".join(KINDS)
    trust = parser.add_mutually_exclusive_group()
    trust.add_argument("--ca", metavar="FILE", help="trust the authorities in this PEM file, not the system's")
    trust.add_argument("--insecure", action="store_true", help="do not check the server's certificate")


def reach_of(chosen: argparse.Namespace, environment: Mapping[str, str]) -> Reach:
    """What the flags and variables say. Flags win; an empty variable counts as unset.

    Raises:
        InvalidSetting: one of them cannot be right; it is named as it was written.
    """
    given = chosen.url if chosen.url is not None else environment.get("PRESENCE_URL") or DEFAULT_URL
    try:
        address = Address.parse(given)
    except InvalidSetting as failure:
        raise InvalidSetting("--url:" if chosen.url is not None else "PRESENCE_URL:", str(failure)) from None
    kind = chosen.user_ids or environment.get("PRESENCE_USER_IDS") or "number"
    if kind not in KINDS:
        raise InvalidSetting("PRESENCE_USER_IDS:", f"must be one of {', '.join(KINDS)}")
    token = _token_of(chosen.token_file, environment)
    return Reach(given, token, _trust_of(address, chosen.ca, chosen.insecure), KINDS[kind].name)


def _token_of(file: str | None, environment: Mapping[str, str]) -> Token | None:
    if file is not None:
        read_token(file)
        return lambda: read_token(file)  # anew for each connection, and before its end: it may have been renewed
    held = environment.get("PRESENCE_TOKEN", "")
    try:
        return token_of(held) if held.strip() else None
    except InvalidSetting as failure:
        raise InvalidSetting("PRESENCE_TOKEN:", str(failure)) from None


def read_token(file: str) -> str:
    """The token in a file.

    Raises:
        InvalidSetting: the file cannot be read, or holds none.
    """
    try:
        with open(file, encoding="utf-8") as opened:
            return token_of(opened.read(LONGEST_TOKEN))
    except OSError as failure:
        raise InvalidSetting("--token-file:", f"cannot read {file}: {failure.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidSetting("--token-file:", f"{file} holds no text") from None
    except InvalidSetting as failure:
        raise InvalidSetting("--token-file:", f"{file}: {failure}") from None


def _trust_of(address: Address, ca: str | None, is_insecure: bool) -> ssl.SSLContext | None:
    if ca is None and not is_insecure:
        return None
    flag = "--insecure" if is_insecure else "--ca"
    if not address.is_secure:
        raise InvalidSetting(f"{flag}:", f"is for https; {address.given} is not reached over TLS")
    if ca is None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        return ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise InvalidSetting("--ca:", f"{ca} holds no certificate in PEM form") from None
    except OSError as failure:
        raise InvalidSetting("--ca:", f"cannot read {ca}: {failure.strerror}") from None
