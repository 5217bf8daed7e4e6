"""Who is let in, and who may see whom: the first implementations of two ports."""

from presence_server.application.ports import Denied, Peer
from presence_server.identity.networks import LOOPBACK, Networks


class TrustNetworks:
    """Clients of some networks may speak for anybody; others for nobody.

    Whoever comes through a proxy is judged by its own address, as far as trusted proxies vouch for one.
    """

    def __init__(self, networks: Networks | None = None) -> None:
        """`networks`: this machine, unless they are given."""
        self._networks = Networks(LOOPBACK) if networks is None else networks

    def authenticate(self, peer: Peer, token: str | None, user_id: int | None) -> Denied | None:
        if peer.clients is None:
            if self._networks.holds(peer.address):
                return None
            return Denied(401, "only clients within the trusted networks are let in: no authenticator is configured")
        if peer.clients and all(map(self._networks.holds, peer.clients)):
            return None
        return Denied(401, "it came through a proxy that is not trusted, or for a client that is not")


class Everyone:
    """Everybody may see everybody."""

    is_open = True

    def may_see(self, viewer: int | None, user_id: int) -> bool:
        return True
