"""Who may come in: from which address, page and host, and how many at once.

What `Origin`, `Host` and forwarding headers say is judged here, once for REST and for handshakes.
"""

from __future__ import annotations

from collections.abc import Mapping

from presence_server.application.allowances import Allowances, TooMuch
from presence_server.application.hub import Hub
from presence_server.application.ports import Clock
from presence_server.identity.networks import Networks, clients_of
from presence_server.transports.hosts import HostPolicy
from presence_server.transports.origins import OriginPolicy


def client_of(address: str, clients: tuple[str, ...] | None) -> str:
    """The address that limits are counted by: the client's where a trusted proxy vouches for one, else the peer's."""
    return clients[0] if clients else address


class Entrance:
    def __init__(
        self,
        hub: Hub,
        clock: Clock,
        origins: OriginPolicy,
        hosts: HostPolicy,
        proxies: Networks,
        root_path: str = "",
    ) -> None:
        """`root_path`: where a proxy serves this server, such as `/presence`; empty where it does so at the root."""
        self.root_path = root_path
        self.origins = origins
        self.hosts = hosts
        self._hub = hub
        self._clock = clock
        self._proxies = proxies
        allowances = hub.allowances
        self.of_connections: Allowances | None = None
        """What counts new connections by address; None: they are not counted."""
        if allowances is not None and allowances.counts_connections:
            self.of_connections = allowances

    def lets_in(self) -> bool:
        """Whether one who has a place may become a WebSocket."""
        return not self._hub.is_draining

    def over_connecting(self, address: str, now: float) -> TooMuch | None:
        """One more connection from `address`. A trusted proxy's are its clients', and counted with their handshakes."""
        if self.of_connections is None or not address or self._proxies.holds(address):
            return None
        return self.of_connections.address("connections", address, now)

    def over_entering(self, address: str, forwarding: Mapping[str, str]) -> TooMuch | None:
        """One more WebSocket, by the limits of its client's address and of all."""
        now, hub = self._clock.now(), self._hub
        if (over := hub.ceilings.memory()) is not None:
            return over
        if hub.allowances is not None and hub.allowances.counts_handshakes:
            client = client_of(address, self.clients_of(address, forwarding))
            if client and (over := hub.allowances.address("handshakes", client, now)) is not None:
                return over
        return hub.admission.take(now)

    def over_asking(self, address: str, forwarding: Mapping[str, str]) -> TooMuch | None:
        """One more request of nobody that is known."""
        allowances = self._hub.allowances
        client = client_of(address, self.clients_of(address, forwarding))
        if allowances is None or not client:
            return None
        return allowances.address("requests", client, self._clock.now())

    def clients_of(self, address: str, headers: Mapping[str, str]) -> tuple[str, ...] | None:
        """Where the client may be whose request came from `address`: see `identity.networks`."""
        return clients_of(address, headers, self._proxies)
