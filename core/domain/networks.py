"""Which peers are our own proxies, and who the visitor behind them is."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from socket import AF_INET, AF_INET6, inet_pton

MAPPED = 0xFFFF
"""The first 96 bits of an IPv4 address that travels as IPv6."""

Number = tuple[int, int]
"""An address: its family, 4 or 6, and its value."""

_number = int.from_bytes  # to look it up anew each time costs three times as much as to call it


@dataclass(frozen=True, slots=True)
class Networks:
    """Trusted proxies: address ranges, or a number of hops counted from the right of X-Forwarded-For."""

    ranges: tuple[IPv4Network | IPv6Network, ...] = ()
    hops: int = 0
    _spans: tuple[tuple[int, int, int], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        spans = ((net.version, int(net.network_address), int(net.broadcast_address)) for net in self.ranges)
        object.__setattr__(self, "_spans", tuple(spans))

    def trust(self, peer: str) -> bool:
        """True when `peer` is one of ours, and says truly for whom it asks."""
        return self.hops > 0 or (bool(self.ranges) and self.contains(peer))

    def contains(self, address: str) -> bool:
        """True when `address` lies in one of the ranges; text that is no address is in none."""
        number = number_of(address)
        return number is not None and self.holds(number)

    def holds(self, number: Number) -> bool:
        """As `contains`, for an address that was read before."""
        family, value = number
        for version, first, last in self._spans:  # noqa: SIM110 (any() with a generator costs twice as much)
            if version == family and first <= value <= last:
                return True
        return False


def number_of(address: str) -> Number | None:
    """An address as a number, an IPv4 one that travels as IPv6 as what it is; None for text that is none. A tenth of
    what `ipaddress` takes."""
    try:
        if ":" not in address:
            return 4, _number(inet_pton(AF_INET, address), "big")
        number = _number(inet_pton(AF_INET6, address), "big")
    except (OSError, ValueError):
        return None
    return (4, number & 0xFFFFFFFF) if number >> 32 == MAPPED else (6, number)


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
    """The visitor's address: the peer itself, unless trusted proxies forwarded it."""
    if not forwarded_for or not proxies.trust(peer):
        return peer
    return forwarded_address(peer, forwarded_for, proxies)[0]


def forwarded_address(peer: str, forwarded_for: str, proxies: Networks) -> tuple[str, Number | None]:
    """For whom a trusted peer says that it asks, as text and as a number.

    Walks X-Forwarded-For from the right, never the left-most by faith: with ranges, the first address that is not
    a trusted proxy; with hops, the hops-th from the right. A broken list falls back to the last good address.
    """
    if "," not in forwarded_for:  # as nearly always
        candidate = forwarded_for.strip()
        number = number_of(candidate)
        return (peer, number_of(peer)) if number is None else (candidate, number)
    chain = forwarded_for.split(",")
    if proxies.hops:
        chain = chain[-proxies.hops :][:1]
    current, known = peer, number_of(peer)
    while chain:
        candidate = chain.pop().strip()
        number = number_of(candidate)
        if number is None:
            break
        current, known = candidate, number
        if not proxies.holds(number):
            break
    return current, known


def counted_as(address: str) -> str:
    """What tries from `address` are counted under: itself, or the /64 of IPv6, which is one visitor's to draw from."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, IPv4Address):
        return address
    return str(ip.ipv4_mapped or ip_network((ip, 64), strict=False))
