"""`presence-server check`: says in words what of the settings is unsafe for the address it would listen on.

It takes what the server takes, from flags, variables and `--config`. Exit code 1: something is unsafe; 0: nothing is
known to be. It starts nothing and asks nobody; files that the settings name are read.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from presence_protocol.user_ids import kind_of
from presence_server.commands.arguments import CommandParser, complain
from presence_server.identity.jwt_keys import LISTED, SAFE_SECRET, UnusableKey, keys_of_setting
from presence_server.identity.jwt_keys import is_short as is_short_key
from presence_server.identity.networks import parse_network
from presence_server.identity.service_keys import KeyFileError, ServiceKeys
from presence_server.log_output import say
from presence_server.settings import PROGRAM, Settings, SettingsError, load
from presence_server.tls import Certificate, CertificateError
from presence_server.transports.origins import ANY, OPAQUE, is_loopback_host
from presence_server.webhooks.file import SAFE_SECRET as SAFE_SECRET_BYTES
from presence_server.webhooks.file import WebhookFileError, is_short
from presence_server.webhooks.file import read as read_webhooks


def run(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    description = "Say what of the settings is unsafe for the address to listen on. Takes the server's own flags."
    parser = CommandParser(prog=f"{PROGRAM} check", description=description, usage=f"{PROGRAM} check [--SETTING VALUE]")
    _, rest = parser.parse_known_args(argv)
    try:
        settings = load(rest, environ)
        found = list(findings(settings))
    except SettingsError as wrong:
        return complain(wrong)
    place = " and ".join([*(f"{host}:{settings.port}" for host in settings.hosts), *filter(None, [settings.uds])])
    for finding in found:
        say(sys.stdout, f"unsafe: {finding}")
    if found:
        say(sys.stdout, f"{len(found)} thing{'s are' if len(found) > 1 else ' is'} unsafe at {place}.")
        return 1
    say(sys.stdout, f"Nothing is known to be unsafe at {place}.")
    return 0


def findings(settings: Settings) -> Iterator[str]:
    """Each a sentence or two: what may happen, and what to set.

    Raises:
        SettingsError: a file that the settings name cannot be used.
    """
    yield from _who_is_let_in(settings)
    yield from _tokens(settings)
    yield from _transport(settings)
    yield from _webhooks(settings)
    yield from _files(settings)


def _who_is_let_in(settings: Settings) -> Iterator[str]:
    if settings.auth == "none":
        wide = [network for network in settings.trusted_networks if not parse_network(network).is_loopback]
        if wide:
            yield (
                f"nobody is asked for credentials: whoever is in {', '.join(wide)} may act as any user. "
                "Set auth to jwt or webhook, or trusted_networks to machines that you trust with that."
            )
        elif not settings.bound_to_loopback:
            yield (
                "nobody is asked for credentials, and other machines reach this address: a proxy or a port forward on "
                "this machine that adds no header of its own would let everybody act as any user. "
                "Set auth to jwt or webhook, or host to 127.0.0.1."
            )
        if settings.uds:
            yield (
                "nobody is asked for credentials at the Unix socket: whoever comes through a proxy that adds no header "
                "of its own may act as any user. Set auth to jwt or webhook."
            )
        for entry in (ANY, OPAQUE):
            if entry in settings.allowed_origins:
                pages = "every web page" if entry == ANY else "every sandboxed or local web page"
                yield (
                    f"allowed_origins holds {entry}, and nobody is asked for credentials: {pages} that somebody on a "
                    "trusted machine opens may act as any user. Name the pages' origins."
                )
    for network in settings.trusted_proxies:
        if parse_network(network).prefixlen == 0:
            yield f"trusted_proxies holds {network}: everybody may claim any address. Name the proxies alone."


def _tokens(settings: Settings) -> Iterator[str]:
    if settings.auth == "jwt" and settings.jwt_key:
        try:
            keys = keys_of_setting(settings.jwt_key)
        except UnusableKey as failure:
            raise SettingsError("jwt_key", str(failure)) from None
        for key in filter(is_short_key, keys):
            yield (
                f"a secret of jwt_key has {len(key.key)} bytes: whoever has a token may find it by trying, and then be "
                f"anybody. Use at least {SAFE_SECRET} random bytes, or a public key."
            )
    if settings.jwks and not settings.jwt_audience:
        yield (
            "jwks without jwt_audience: a token that the issuer made for another application is taken here as well. "
            "Set jwt_audience."
        )
    for name in ("jwks", "auth_url"):
        url = urlsplit(getattr(settings, name))
        if url.scheme == "http" and not is_loopback_host(url.hostname or ""):
            yield f"{name} is not https: whoever is on the way to {url.hostname} may let in anybody. Use https."


def _transport(settings: Settings) -> Iterator[str]:
    if settings.tls_cert:
        try:
            Certificate(settings.tls_cert, settings.tls_key)
        except CertificateError as failure:
            raise SettingsError("tls_cert", str(failure)) from None
    elif not (settings.bound_to_loopback or settings.trusted_proxies):
        yield (
            "there is no TLS: whoever is on the way reads tokens and presence, and may act as the user. "
            "Set tls_cert and tls_key, or put a proxy in front that has TLS and name it in trusted_proxies."
        )


def _webhooks(settings: Settings) -> Iterator[str]:
    if not settings.webhooks:
        return
    try:
        webhooks = read_webhooks(Path(settings.webhooks), kind_of(settings.user_ids), settings.platforms)
    except WebhookFileError as failure:
        raise SettingsError("webhooks", str(failure)) from None
    for webhook in webhooks:
        url = urlsplit(webhook.url)
        if url.scheme == "http" and not is_loopback_host(url.hostname or ""):
            yield (
                f"the URL of webhook {webhook.name} is not https: whoever is on the way to {url.hostname} reads who is "
                "online. Use https."
            )
        if any(map(is_short, webhook.secrets)):
            yield (
                f"a secret of webhook {webhook.name} has less than {SAFE_SECRET_BYTES} bytes: whoever has a message "
                "may find it by trying, and then send messages of their own. Use 24 to 64 random bytes, in base64."
            )
    if os.stat(settings.webhooks).st_mode & stat.S_IWOTH:
        yield (
            f"everybody on this machine may write {settings.webhooks}, and so be sent who is online. "
            "Take the right from others."
        )


def _files(settings: Settings) -> Iterator[str]:
    if settings.service_keys:
        try:
            ServiceKeys(Path(settings.service_keys))
        except KeyFileError as failure:
            raise SettingsError("service_keys", str(failure)) from None
    listed = [LISTED.fullmatch(part) for part in settings.jwt_key.split(",")]
    keys = [found[2] for found in listed if found] if all(listed) else []
    if settings.jwt_key.startswith("@"):
        keys = [settings.jwt_key[1:]]
    for path in filter(None, [settings.service_keys, settings.tls_cert, settings.tls_key, *keys]):
        if os.stat(path).st_mode & stat.S_IWOTH:
            yield f"everybody on this machine may write {path}, and so let in anybody. Take the right from others."
