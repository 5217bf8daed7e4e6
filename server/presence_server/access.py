"""Who is let in, and who may see whom: the first implementations of two ports."""

from functools import lru_cache
from ipaddress import ip_address

from presence_server.application.ports import Denied, Peer


class TrustOnLoopback:
    """Clients on this machine may speak for anybody; others for nobody, and neither whoever a proxy here speaks for."""

    def authenticate(self, peer: Peer, token: str | None, user_id: int | None) -> Denied | None:
        if is_loopback(peer.address):
            if not peer.is_forwarded:
                return None
            return Denied(401, "what comes through a proxy is not this machine's own: no authenticator is configured")
        return Denied(401, "only clients on the server's own machine are let in: no authenticator is configured")


class Everyone:
    """Everybody may see everybody."""

    is_open = True

    def may_see(self, viewer: int | None, user_id: int) -> bool:
        return True


@lru_cache(maxsize=1024)  # 4 us, for each request
def is_loopback(address: str) -> bool:
    """Whether `address` (IPv4, IPv6, or IPv4 in IPv6) is this machine's own; False for what is no address."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback
