"""What the tracker remembers of the operator's file, and that it never differs from what the file says."""

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.domain.networks import number_of
from tests.tasks.mmdb import write_countries, write_mmdb
from tracker_quart import countries
from tracker_quart.countries import Lookup


def country(code: str) -> dict[str, Any]:
    return {"country": {"iso_code": code}}


def of(lookup: Lookup, ip: str) -> str:
    return lookup.of(ip, number_of(ip))


NETWORKS = {
    "8.0.0.0/9": "US",
    "177.0.0.0/8": "BR",
    "200.1.0.0/16": "CL",
    "200.2.0.0/20": "PE",
    "200.2.16.0/21": "CO",
    "200.2.24.0/24": "AR",
    "200.2.25.7/32": "MX",
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("geo") / "geo.mmdb"
    write_countries(path, [(IPv4Network(network), country(code)) for network, code in NETWORKS.items()])
    return path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            *(
                st.integers(0, 2**24).map(lambda low, base=base: (base + low) % 2**32)
                for base in (8 << 24, 177 << 24)
            ),
            st.integers(0, 2**14).map(lambda low: (200 << 24) + (2 << 16) - 4096 + low),
            st.integers(0, 2**32 - 1),
        ),
        max_size=30,
    )
)
def test_it_says_what_the_file_says_whatever_was_asked_before(path: Path, asked: list[int]) -> None:
    lookup = Lookup(path)
    for number in asked:
        address = IPv4Address(number)
        expected = [code for network, code in NETWORKS.items() if address in IPv4Network(network)]
        assert [of(lookup, str(address))] == (expected or [""])


@pytest.mark.parametrize(
    ("ip", "code"),
    [
        ("177.255.255.255", "BR"),
        ("178.0.0.0", ""),
        ("200.2.15.255", "PE"),
        ("200.2.23.9", "CO"),
        ("200.2.24.1", "AR"),
        ("200.2.25.6", ""),
        ("200.2.25.7", "MX"),
        ("::ffff:177.1.2.3", ""),
        ("2001:db8::1", ""),
        ("", ""),
        ("unknown", ""),
    ],
)
def test_it_says_the_same_twice(path: Path, ip: str, code: str) -> None:
    lookup = Lookup(path)
    assert [of(lookup, ip), of(lookup, ip)] == [code, code]


def test_it_forgets_what_it_knew_of_a_file_that_was_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(countries, "_monotonic", lambda: clock[0])
    path = tmp_path / "geo.mmdb"
    write_mmdb(path, IPv4Network("177.0.0.0/8"), country("BR"))
    lookup = Lookup(path)
    assert of(lookup, "177.1.2.3") == "BR"
    write_mmdb(path, IPv4Network("177.0.0.0/9"), country("PT"))
    assert of(lookup, "177.1.2.3") == "BR"
    clock[0] += 61
    assert of(lookup, "177.1.2.3") == "PT"
    assert of(lookup, "177.200.2.3") == ""


def test_it_tells_more_countries_apart_than_there_are(tmp_path: Path) -> None:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    codes = [first + second for first in letters[:12] for second in letters]
    path = tmp_path / "geo.mmdb"
    networks = [IPv4Network((177 << 24 | place << 16, 16)) for place in range(256)]
    networks += [IPv4Network((178 << 24 | place << 16, 16)) for place in range(len(codes) - 256)]
    write_countries(path, [(network, country(code)) for network, code in zip(networks, codes, strict=True)])
    lookup = Lookup(path)
    for _ in range(2):
        assert [of(lookup, str(network[77])) for network in networks] == codes


def test_it_knows_no_country_without_a_file() -> None:
    assert of(Lookup(None), "177.1.2.3") == ""
