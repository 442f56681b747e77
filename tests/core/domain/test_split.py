"""Shares of a split, and who stays with what."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.contracts.link_snapshot import Variant
from core.domain.split import Split

KEY = b"0123456789abcdef"
VISITORS = [
    (f"203.0.{number >> 8}.{number & 255}", f"Mozilla/5.0 ({number % 7})") for number in range(20_000)
]


def split_of(*weights: int, key: bytes = KEY, link_id: int = 7) -> Split[int]:
    variants = [Variant(id=1 + place, weight=weight) for place, weight in enumerate(weights)]
    return split_among(variants, link_id=link_id, key=key)


def split_among(variants: list[Variant], *, link_id: int = 7, key: bytes = KEY) -> Split[int]:
    return Split([(each, each.id) for each in variants], link_id=link_id, key=key)


def dealt(split: Split[int]) -> list[int]:
    return [split.choose(ip, agent) for ip, agent in VISITORS]


@pytest.mark.parametrize(
    "weights", [(1, 1), (50, 30, 20), (1, 9), (10_000, 1), (3, 3, 3, 1), tuple(range(1, 21))]
)
@pytest.mark.parametrize("key", [KEY, b"another key of 1"])
def test_it_deals_visitors_out_by_weight(weights: tuple[int, ...], key: bytes) -> None:
    counts = Counter(dealt(split_of(*weights, key=key)))
    chi_square = 0.0
    for place, weight in enumerate(weights):
        expected = len(VISITORS) * weight / sum(weights)
        chi_square += (counts[place + 1] - expected) ** 2 / expected
    degrees = len(weights) - 1
    assert chi_square < degrees + 4.5 * (2 * degrees) ** 0.5 + 8  # far beyond p = 0.0001; the keys are fixed


def test_it_gives_a_visitor_the_same_variant_in_any_order() -> None:
    variants = [Variant(id=number, weight=number) for number in (3, 1, 2)]
    shuffled = random.Random(4).sample(variants, k=3)
    assert dealt(split_among(variants)) == dealt(split_among(shuffled))


def test_it_deals_anew_by_another_key_and_another_link() -> None:
    same = sum(
        a == b for a, b in zip(dealt(split_of(1, 1)), dealt(split_of(1, 1, key=b"x" * 16)), strict=True)
    )
    assert 0.48 < same / len(VISITORS) < 0.52
    same = sum(a == b for a, b in zip(dealt(split_of(1, 1)), dealt(split_of(1, 1, link_id=8)), strict=True))
    assert 0.48 < same / len(VISITORS) < 0.52


def test_it_moves_nobody_but_towards_the_variant_that_grew() -> None:
    before, after = dealt(split_of(50, 30, 20)), dealt(split_of(50, 50, 20))
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert {new for _, new in moved} == {2}
    assert abs(len(moved) / len(VISITORS) - (50 / 120 - 30 / 100)) < 0.01  # as few as there can be


def test_it_moves_nobody_but_from_the_variant_that_was_taken_out() -> None:
    before, after = dealt(split_of(5, 5, 5)), dealt(split_of(5, 5))
    assert {old for old, new in zip(before, after, strict=True) if old != new} == {3}


def test_it_keeps_everybody_when_all_weights_grow_alike() -> None:
    assert dealt(split_of(1, 2, 3)) == dealt(split_of(10, 20, 30))


@given(
    st.lists(st.integers(1, 10_000), min_size=2, max_size=20),
    st.integers(0, 19),
    st.integers(1, 10_000),
    st.text(max_size=30),
    st.text(max_size=30),
)
def test_it_only_ever_moves_to_what_grew_or_from_what_shrank(
    weights: list[int], place: int, weight: int, ip: str, agent: str
) -> None:
    place %= len(weights)
    changed = [*weights[:place], weight, *weights[place + 1 :]]
    before = split_of(*weights).choose(ip, agent)
    after = split_of(*changed).choose(ip, agent)
    if before != after:
        assert (after if weight > weights[place] else before) == place + 1
