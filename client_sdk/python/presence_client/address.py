"""Where a server is: the URL that a person gives, turned into those that are used. Pure."""

import base64
import re
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from presence_client.errors import InvalidSetting
from presence_protocol.paths import BASE_PATH, WS_PATH

DEFAULT_URL: Final = "http://127.0.0.1:8004"

_SCHEMES: Final = {"http": ("http", "ws"), "ws": ("http", "ws"), "https": ("https", "wss"), "wss": ("https", "wss")}
_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_HOST_NAME: Final = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)
_IN_PATHS: Final = "/%:@!$&'()*+,;=~"  # what RFC 3986, section 3.3, has in a path unquoted; % as it is already quoted


class Address(NamedTuple):
    """A server. `given`: what errors name, without credentials. `rest`: the base of the REST endpoints.

    `websocket`: the endpoint for upgrades; `is_local`: it is this machine, so that no proxy is asked.
    `authorization`: the value of the header that `user:password@` in the URL stands for, or None.
    """

    given: str
    rest: str
    websocket: str
    is_local: bool
    authorization: str | None = None

    def __repr__(self) -> str:
        return f"<Address {self.given}>"

    @property
    def is_secure(self) -> bool:
        """Whether it is reached over TLS."""
        return self.rest.startswith("https:")

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read a URL such as `https://example.org`, `wss://example.org/api/v1/presence/ws`, or one in between.

        Raises:
            InvalidSetting: it is none, or has a query or a fragment.
        """
        if not isinstance(url, str):
            raise InvalidSetting("url", f"must be a string, not {type(url).__name__}")
        url = url.strip()
        try:
            parts = urlsplit(url)
            host, port = _host_of(parts.hostname or ""), parts.port
            schemes = _SCHEMES.get(parts.scheme)
        except ValueError:
            schemes = None
        if schemes is None or port == 0 or "?" in url or "#" in url or not url.isprintable():
            raise InvalidSetting("", f"{_shown(url)!r} is not a server's URL, such as {DEFAULT_URL}")
        path = quote(parts.path.rstrip("/"), safe=_IN_PATHS)
        path = path.removesuffix("/ws") if path.endswith(WS_PATH) else path
        path = path if path.endswith(BASE_PATH) else path + BASE_PATH
        place = host if port is None else f"{host}:{port}"
        rest, websocket = (f"{scheme}://{place}{path}" for scheme in schemes)
        return cls(_shown(url), rest, f"{websocket}/ws", is_local(host), _basic(parts.username, parts.password))


class Origin(NamedTuple):
    """What a credential is meant for: scheme (`http` or `https`), host and port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Origin":
        """The origin of a URL.

        Raises:
            ValueError: it has none that could be a server's.
        """
        parts = urlsplit(url)
        scheme = _SCHEMES[parts.scheme][0] if parts.scheme in _SCHEMES else ""
        if not scheme:
            raise ValueError("neither http nor https")
        return cls(scheme, _host_of(parts.hostname or ""), parts.port or _PORTS[parts.scheme])


def redacted(text: str) -> str:
    """A text with URLs in it without what may be secret in them: `user:password@`, query, fragment."""
    # Up to the last @: a password with a slash in it makes no URL, but is secret all the same.
    return re.sub(r"(?<=[^\s?#])[?#]\S+", "", re.sub(r"//\S*@", "//", text))


def _shown(url: str) -> str:
    """What was given as a URL, however wrong, without what may be secret."""
    before, at, rest = url.rpartition("@")
    scheme, colons, _ = before.partition("://")
    return redacted(f"{scheme}://{rest}" if at and colons else rest)


def is_local(host: str) -> bool:
    """Whether a host name or address (IPv6 in brackets or not) is this machine."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        name = host.lower().rstrip(".")
        return name == "localhost" or name.endswith(".localhost")  # RFC 6761, section 6.3
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _host_of(name: str) -> str:
    """A host as it goes into a URL. Raises ValueError (UnicodeError is one) where it can be none."""
    if ":" in name:
        return f"[{IPv6Address(name)}]"
    host = name.encode("idna").decode()
    if _HOST_NAME.fullmatch(host) is None:
        raise ValueError("no host name")
    return host


def _basic(user: str | None, password: str | None) -> str | None:
    """RFC 7617."""
    if user is None and password is None:
        return None
    pair = f"{unquote(user or '')}:{unquote(password or '')}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
