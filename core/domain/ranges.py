"""Ranges of addresses, many of them, asked for each visitor."""

from bisect import bisect_right
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Network, collapse_addresses, ip_network

from core.domain.networks import MAPPED, number_of


class Ranges:
    """Any number of ranges; asking costs about 1 us whatever their number."""

    def __init__(self, networks: Iterable[IPv4Network | IPv6Network]) -> None:
        known = [_unmapped(network) for network in networks]
        merged: dict[int, list[IPv4Network] | list[IPv6Network]] = {
            4: list(collapse_addresses(each for each in known if isinstance(each, IPv4Network))),
            6: list(collapse_addresses(each for each in known if isinstance(each, IPv6Network))),
        }
        self._firsts = {family: [int(each[0]) for each in every] for family, every in merged.items()}
        self._lasts = {family: [int(each[-1]) for each in every] for family, every in merged.items()}

    def contains(self, ip: str) -> bool:
        """True when the address lies in one of the ranges; text that is no address is in none."""
        address = number_of(ip)
        if address is None:
            return False
        family, number = address
        place = bisect_right(self._firsts[family], number)
        return place > 0 and number <= self._lasts[family][place - 1]


def parse_ranges(text: str) -> Ranges | None:
    """Addresses and CIDR ranges, parted by commas or white space; from `#` to the end of a line is a remark. None where
    there are none. Raises ValueError with a reason."""
    words = [word for line in text.splitlines() for word in line.partition("#")[0].replace(",", " ").split()]
    networks = [ip_network(word, strict=False) for word in words]
    if any(network.prefixlen == 0 for network in networks):
        raise ValueError("a range of all addresses would make everybody a robot")
    return Ranges(networks) if networks else None


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    first = int(network[0])
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and first >> 32 == MAPPED:
        return IPv4Network((IPv4Address(first & 0xFFFFFFFF), network.prefixlen - 96))
    return network
