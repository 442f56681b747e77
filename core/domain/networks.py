"""Which peers are our own proxies, and who the visitor behind them is."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network


@dataclass(frozen=True, slots=True)
class Networks:
    """Trusted proxies: address ranges, or a number of hops counted from the right of X-Forwarded-For."""

    ranges: tuple[IPv4Network | IPv6Network, ...] = ()
    hops: int = 0

    def contains(self, address: str) -> bool:
        """True when `address` lies in one of the ranges; text that is no address is in none."""
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(ip, "ipv4_mapped", None)
        return any((mapped or ip) in network for network in self.ranges)


def parse_networks(text: str) -> Networks:
    """Read `TRUSTED_PROXIES`: a hop count ("2") or CIDRs parted by commas. Raises ValueError with a reason."""
    words = text.replace(",", " ").split()
    if len(words) == 1 and words[0].isdigit():
        hops = int(words[0])
        if hops > 10:
            raise ValueError("a hop count above 10 is not believable")
        return Networks(hops=hops)
    try:
        return Networks(ranges=tuple(ip_network(word, strict=False) for word in words))
    except ValueError as error:
        raise ValueError(f"{error} (give addresses, ranges such as 10.0.0.0/8, or one hop count)") from error


def visitor_address(peer: str, forwarded_for: str, proxies: Networks) -> str:
    """The visitor's address: the peer itself, unless trusted proxies forwarded it.

    Walks X-Forwarded-For from the right, never the left-most by faith: with ranges, the first address that is not
    a trusted proxy; with hops, the hops-th from the right. A broken list falls back to the last good address.
    """
    if not forwarded_for or (not proxies.hops and not proxies.ranges):
        return peer
    chain = [part.strip() for part in forwarded_for.split(",")]
    if proxies.hops:
        candidate = chain[-proxies.hops] if len(chain) >= proxies.hops else chain[0]
        return candidate if _is_address(candidate) else peer
    current = peer
    while chain and proxies.contains(current):
        candidate = chain.pop()
        if not _is_address(candidate):
            return current
        current = candidate
    return current


def counted_as(address: str) -> str:
    """What tries from `address` are counted under: itself, or the /64 of IPv6, which is one visitor's to draw from."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, IPv4Address):
        return address
    return str(ip.ipv4_mapped or ip_network((ip, 64), strict=False))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
