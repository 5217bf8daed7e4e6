"""Which proxy a connection goes by, as curl reads the variables: one rule for REST and WebSocket. Pure.

`http_proxy`, `https_proxy`, then `all_proxy`; for a WebSocket `ws_proxy` or `wss_proxy` before them. In small letters
or capitals, but `HTTP_PROXY` is not read, since a CGI program's client could set it by a header. An empty one means
none. Without a scheme it is `http://`, without a port 1080, or 443 for `https://`. `no_proxy` lists hosts, domains and
networks that need none. Source: https://everything.curl.dev/usingcurl/proxies/env.html, and `detect_proxy` in curl's
lib/url.c.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from presence_client.address import is_local
from presence_client.errors import InvalidSetting

PORTS: Final = {"http": 1080, "https": 443, "socks5": 1080, "socks5h": 1080}
"""Schemes that a proxy may have, and their ports."""

_VARIABLES: Final = {
    "http": ("http_proxy", "all_proxy", "ALL_PROXY"),
    "https": ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
    "ws": ("ws_proxy", "WS_PROXY", "http_proxy", "all_proxy", "ALL_PROXY"),
    "wss": ("wss_proxy", "WSS_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
}


class Proxy(NamedTuple):
    """A proxy. `url`: with scheme, port and credentials, if any; `place`: host and port; `variable`: who said so."""

    url: str
    place: str
    variable: str

    def __repr__(self) -> str:
        return f"<Proxy {self.place} of {self.variable}>"

    def __str__(self) -> str:
        return f"the proxy {self.place} of {self.variable}"

    @property
    def is_secure(self) -> bool:
        """Whether the proxy itself is reached over TLS."""
        return self.url.startswith("https:")

    @property
    def is_socks(self) -> bool:
        return self.url.startswith("socks")


def proxy_of(url: str, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy for a URL (`http`, `https`, `ws` or `wss`); None: there is none, or it is not for this host.

    Raises:
        InvalidSetting: the variable that counts holds something else. Its text shows no password.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_local(host) or _is_excepted(host, parts.port, environment):
        return None
    for variable in _VARIABLES[parts.scheme]:
        if variable in environment:
            value = environment[variable].strip()
            return _parse(value, variable) if value else None
    return None


def _parse(value: str, variable: str) -> Proxy:
    parts = None
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if parts is None or not host or re.search(r"[\s\x00-\x20\x7f]", value):
        raise InvalidSetting(variable, "is no proxy's URL, such as http://proxy.example:3128")
    if parts.scheme not in PORTS:
        raise InvalidSetting(variable, f"has the scheme {parts.scheme}; it must be one of {', '.join(PORTS)}")
    try:
        name = f"[{host}]" if ":" in host else host.encode("idna").decode()
    except UnicodeError:
        raise InvalidSetting(variable, "names a host that can be none") from None
    place = f"{name}:{port or PORTS[parts.scheme]}"
    credentials = ""
    if parts.username is not None:
        pair = (quote(unquote(part or ""), safe="") for part in (parts.username, parts.password))
        credentials = ":".join(pair) + "@"
    return Proxy(f"{parts.scheme}://{credentials}{place}", place, variable)


def _is_excepted(host: str, port: int | None, environment: Mapping[str, str]) -> bool:
    excepted = environment.get("no_proxy", environment.get("NO_PROXY", ""))
    return any(_is_meant(host.rstrip("."), port, each) for each in re.split(r"[,\s]+", excepted.lower()) if each)


def _is_meant(host: str, port: int | None, each: str) -> bool:
    if each == "*":
        return True
    try:
        return ip_address(host) in ip_network(each.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        pass  # one of them is a name
    name, colon, only_port = each.rpartition(":")
    if colon and only_port.isdecimal() and "]" not in only_port:
        if port is None or int(only_port) != port:
            return False
        each = name.strip("[]")
    each = each.strip(".")
    return bool(each) and (host == each or host.endswith(f".{each}"))
