"""What one value of a setting must look like, beyond kind and bounds; values against each other are `table`'s.

Each check raises `SettingsError`, which names the setting and says what it should be.
"""

from __future__ import annotations

import ipaddress
import re

from presence_server.identity.networks import parse_network
from presence_server.settings.declaration import SettingsError, shown
from presence_server.transports.origins import ANY, OPAQUE, parse_host, parse_origin


def check_host(host: str) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?", host) is None:
            reason = f"must be an address or a host name, without scheme, port or brackets, not {shown(host)}"
            raise SettingsError("host", reason) from None


def check_engine(engine: str) -> None:
    # the value is not shown: a redis:// one may hold a password
    if engine.partition(":")[0] in ("redis", "rediss", "valkey", "valkeys"):
        raise SettingsError("engine", "a network engine is not available yet; the only engine is memory")
    if engine != "memory":
        raise SettingsError("engine", "must be memory, the only engine there is")


def check_origin(entry: str) -> None:
    if entry in (ANY, OPAQUE):
        return
    origin = parse_origin(entry)
    if origin is None:
        reason = f"must hold scheme://host[:port] without path, null or *, not {shown(entry)}"
        raise SettingsError("allowed_origins", reason)
    if origin.scheme in ("ws", "wss"):
        reason = f"an origin is the page's, so it starts with http:// or https://, not {shown(entry)}"
        raise SettingsError("allowed_origins", reason)


def check_root_path(path: str) -> None:
    if path and (re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?", path) is None):
        reason = f"must be a path such as /presence, not {shown(path)}"
        raise SettingsError("root_path", reason)


def check_networks(name: str, networks: tuple[str, ...]) -> None:
    for network in networks:
        try:
            parse_network(network)
        except ValueError as error:
            raise SettingsError(name, f"{shown(network)} {error}") from None


def check_allowed_host(entry: str) -> None:
    if parse_host(entry) != entry.lower():
        reason = f"must hold host names without scheme or port, not {shown(entry)}"
        raise SettingsError("allowed_hosts", reason)
