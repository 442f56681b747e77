"""Who the visitor behind the proxies is."""

import pytest

from core.domain.networks import counted_as, forwarded_address, number_of, parse_networks, visitor_address


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "visitor"),
    [
        ("", "203.0.113.9", "1.2.3.4", "203.0.113.9"),  # nobody is trusted: the header is ignored
        ("10.0.0.0/8", "203.0.113.9", "1.2.3.4", "203.0.113.9"),  # an untrusted peer forges the header
        ("10.0.0.0/8", "10.0.0.7", "1.2.3.4", "1.2.3.4"),
        ("10.0.0.0/8", "10.0.0.7", "9.9.9.9, 1.2.3.4", "1.2.3.4"),  # never the left-most by faith
        ("10.0.0.0/8", "10.0.0.7", "1.2.3.4, 10.0.0.8", "1.2.3.4"),  # two of our own in a row
        ("10.0.0.0/8", "10.0.0.7", "10.0.0.9", "10.0.0.9"),  # a visitor inside
        ("10.0.0.0/8", "10.0.0.7", "nonsense", "10.0.0.7"),
        ("10.0.0.0/8", "10.0.0.7", "", "10.0.0.7"),
        ("::1, 127.0.0.1", "::1", "2001:db8::7", "2001:db8::7"),
        ("10.0.0.0/8", "::ffff:10.0.0.7", "1.2.3.4", "1.2.3.4"),  # a peer seen through a dual-stack socket
        ("1", "10.0.0.7", "9.9.9.9, 1.2.3.4", "1.2.3.4"),
        ("2", "10.0.0.7", "9.9.9.9, 1.2.3.4", "9.9.9.9"),
        ("2", "10.0.0.7", "1.2.3.4", "1.2.3.4"),
        ("1", "10.0.0.7", "1.2.3.4, nonsense", "10.0.0.7"),
    ],
)
def test_it_finds_the_visitor(trusted: str, peer: str, forwarded: str, visitor: str) -> None:
    assert visitor_address(peer, forwarded, parse_networks(trusted)) == visitor


@pytest.mark.parametrize(
    "forwarded", ["1.2.3.4", "9.9.9.9, 1.2.3.4", "nonsense", "1.2.3.4, nonsense", "::ffff:1.2.3.4"]
)
@pytest.mark.parametrize("trusted", ["1", "10.0.0.0/8"])
def test_it_knows_the_number_of_the_visitor_that_it_found(trusted: str, forwarded: str) -> None:
    visitor, number = forwarded_address("10.0.0.7", forwarded, parse_networks(trusted))
    assert number == number_of(visitor) is not None


def test_it_refuses_what_is_no_network() -> None:
    with pytest.raises(ValueError, match="hop count"):
        parse_networks("10.0.0.0/8 banana")


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("", ""),
    ],
)
def test_it_counts_the_addresses_of_one_visitor_together(address: str, counted: str) -> None:
    assert counted_as(address) == counted
