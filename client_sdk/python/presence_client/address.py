"""Where a server is: the URL that a person gives, turned into those that are used. Pure."""

from ipaddress import ip_address
from typing import Final, NamedTuple
from urllib.parse import urlsplit

BASE_PATH: Final = "/api/v1/presence"
DEFAULT_URL: Final = "http://127.0.0.1:8004"

_SCHEMES: Final = {"http": ("http", "ws"), "ws": ("http", "ws"), "https": ("https", "wss"), "wss": ("https", "wss")}


class Address(NamedTuple):
    """`given`: what errors name. `rest`: the base of the REST endpoints; `websocket`: the endpoint for upgrades."""

    given: str
    rest: str
    websocket: str
    is_local: bool

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read a URL such as `https://example.org`, `wss://example.org/api/v1/presence/ws`, or one in between.

        Raises:
            ValueError: it is none, or has a query or a fragment.
        """
        try:
            parts = urlsplit(url)
            _ = parts.port  # raises if it is none
            schemes = _SCHEMES.get(parts.scheme)
        except ValueError:
            schemes = None
        if schemes is None or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{url!r} is not a server's URL, such as {DEFAULT_URL}")
        path = parts.path.rstrip("/")
        path = path.removesuffix("/ws") if path.endswith(f"{BASE_PATH}/ws") else path
        path = path if path.endswith(BASE_PATH) else path + BASE_PATH
        rest, websocket = (f"{scheme}://{parts.netloc}{path}" for scheme in schemes)
        return cls(url, rest, f"{websocket}/ws", _is_local(parts.hostname))


def _is_local(host: str) -> bool:
    """Whether it is this machine, so that no proxy is to be asked."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
