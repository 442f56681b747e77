"""Ranges of addresses: how they are written, and what lies in them."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.ranges import Ranges, parse_ranges

TEXT = """
# data centres
198.51.100.0/24  198.51.100.128/25, 192.0.2.7   # and one machine
2001:db8::/32
::ffff:203.0.113.0/120
"""


@pytest.mark.parametrize(
    ("ip", "inside"),
    [
        ("198.51.100.0", True),
        ("198.51.100.255", True),
        ("198.51.99.255", False),
        ("198.51.101.0", False),
        ("192.0.2.7", True),
        ("192.0.2.6", False),
        ("192.0.2.8", False),
        ("0.0.0.0", False),
        ("255.255.255.255", False),
        ("::ffff:192.0.2.7", True),
        ("203.0.113.9", True),
        ("2001:db8:ffff::1", True),
        ("2001:db9::", False),
        ("::", False),
        ("", False),
        ("nonsense", False),
        ("fe80::1%eth0", False),
        ("1.2.3", False),
        ("192.0.2.7\0", False),
    ],
)
def test_it_knows_what_lies_in_its_ranges(ip: str, inside: bool) -> None:
    ranges = parse_ranges(TEXT)
    assert ranges is not None and ranges.contains(ip) is inside


@pytest.mark.parametrize("text", ["", "  \n ,", "# nothing but a remark"])
def test_it_is_nothing_where_there_are_no_ranges(text: str) -> None:
    assert parse_ranges(text) is None


@pytest.mark.parametrize("text", ["example.com", "10.0.0.0/33", "0.0.0.0/0", "10.0.0.1 ::/0", "1"])
def test_it_refuses_what_is_no_range_or_all_there_is(text: str) -> None:
    with pytest.raises(ValueError):
        parse_ranges(text)


prefixes = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 32)).map(
    lambda pair: ip_network(pair, strict=False)
)


@given(st.lists(prefixes, min_size=1, max_size=20), st.integers(0, 2**32 - 1))
def test_it_agrees_with_asking_each_range(networks: list[object], number: int) -> None:
    ranges = Ranges(networks)  # type: ignore[arg-type]
    edges = [int(network[place]) for network in networks for place in (0, -1)]  # type: ignore[index]
    for candidate in (number, *edges, *(max(0, edge - 1) for edge in edges)):
        address = ip_address(candidate)
        assert ranges.contains(str(address)) is any(address in network for network in networks)  # type: ignore[operator]
