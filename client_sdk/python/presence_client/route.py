"""How a server is reached: its address, the proxies on the way, whom to trust, which headers to show.

Both transports take the same route, so that one cannot fail where the other does not. All that a person sets is
checked when the route is made: a wrong setting is an `InvalidSetting` at once, and not a connection that fails later.
"""

from __future__ import annotations

import importlib.util
import os
import re
import ssl
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

from presence_client.address import Address
from presence_client.errors import InvalidSetting
from presence_client.proxies import Proxy, proxy_of
from presence_client.values import check_header
from presence_protocol import __version__

USER_AGENT: Final = f"presence-client-python/{__version__}"
"""Who asks, for the log of whoever runs the server or a proxy."""

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")  # a token: RFC 9110, section 5.6.2
_OWN: Final = {"connection", "content-length", "content-type", "host", "transfer-encoding", "upgrade"}
_FOR_SOCKS: Final = {"socksio": "socksio", "python_socks": "python-socks"}  # REST's, and WebSocket's


class Route:
    """The way to one server. `headers`: names in small letters, credentials of the URL included."""

    def __init__(
        self,
        address: Address,
        headers: Mapping[str, str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """`ssl_context`: in place of the system's trust store. `environment`: where the proxies stand.

        Raises:
            InvalidSetting: one of them, or a variable, cannot be right.
        """
        if ssl_context is not None and not isinstance(ssl_context, ssl.SSLContext):
            raise InvalidSetting("ssl", f"must be an ssl.SSLContext, not {type(ssl_context).__name__}")
        if ssl_context is not None and not address.is_secure:
            raise InvalidSetting("ssl", f"is for https and wss; {address.given} is not reached over TLS")
        self.address = address
        self.headers = _headers_of(headers)
        if address.authorization is not None:
            self.headers.setdefault("authorization", address.authorization)
        self._ssl = ssl_context
        self._environment = _proxies_of(environment)
        for url in (address.rest, address.websocket):
            self.proxy_for(url)

    def tls(self) -> ssl.SSLContext:
        """Whom to trust: what was given, else the system's store, which is read when it is first needed.

        It is OpenSSL's own, so SSL_CERT_FILE and SSL_CERT_DIR name another; on Windows that of the system.
        """
        if self._ssl is None:
            self._ssl = ssl.create_default_context()
        return self._ssl

    def proxy_for(self, url: str) -> Proxy | None:
        """By which proxy to reach a URL; None: by none.

        Raises:
            InvalidSetting: there is one that cannot be used.
        """
        proxy = proxy_of(url, self._environment)
        if proxy is not None and proxy.is_socks:
            missing = [name for module, name in _FOR_SOCKS.items() if importlib.util.find_spec(module) is None]
            if missing:
                raise InvalidSetting(
                    proxy.variable, f"names a SOCKS proxy, which needs: pip install {' '.join(missing)}"
                )
        return proxy


def _headers_of(headers: Mapping[str, str] | None) -> dict[str, str]:
    checked: dict[str, str] = {}
    given: Any = headers or {}
    if not isinstance(given, Mapping):
        raise InvalidSetting("headers", f"must be a mapping of names to values, not {type(given).__name__}")
    for name, value in given.items():
        if not isinstance(name, str) or _NAME.fullmatch(name.lower()) is None:
            raise InvalidSetting("headers", "has a name that no header can have")
        if name.lower() in _OWN or name.lower().startswith("sec-websocket-"):
            raise InvalidSetting(f"headers[{name!r}]", "is the connection's own")
        if not isinstance(value, str):
            raise InvalidSetting(f"headers[{name!r}]", f"must be a string, not {type(value).__name__}")
        check_header(f"headers[{name!r}]", value.strip())
        checked[name.lower()] = value.strip()
    return checked


def _proxies_of(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The variables; where there is none about proxies, the settings of Windows or macOS in their form."""
    if environment is not os.environ or any(name.lower().endswith("_proxy") for name in environment):
        return environment
    system = urllib.request.getproxies()
    return {f"{scheme}_proxy": url for scheme, url in system.items()}
