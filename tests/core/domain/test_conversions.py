"""Statuses that may follow one another, and what a further postback does."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.conversions import (
    CONVERSION,
    COUNTING,
    DUPLICATES,
    REASONS,
    REPEATED,
    STATUSES,
    UPDATED,
    Standing,
    follow,
    may_become,
)

TEN = Standing("approved", Decimal(10), "USD")
OTHER_AMOUNT = ((REPEATED, "amount_differs"), (UPDATED, "amounts"), (CONVERSION, "matched"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("pending", ("approved", "rejected")),
        ("approved", ("rejected", "refunded")),
        ("rejected", ("approved",)),
        ("refunded", ()),
    ],
)
def test_it_lets_a_status_move_on_and_a_person_set_any(before: str, after: tuple[str, ...]) -> None:
    assert {status for status in STATUSES if may_become(before, status)} == {before, *after}
    assert all(may_become(before, status, by_person=True) for status in STATUSES)


@pytest.mark.parametrize(
    ("came", "ignore", "update", "repeat"),
    [
        (TEN, (REPEATED, "same"), (REPEATED, "same"), (CONVERSION, "matched")),
        (
            Standing("approved", Decimal(12), "USD"),
            (REPEATED, "amount_differs"),
            (UPDATED, "amounts"),
            (CONVERSION, "matched"),
        ),
        (
            Standing("approved", Decimal(10), "EUR"),
            (REPEATED, "amount_differs"),
            (UPDATED, "amounts"),
            (CONVERSION, "matched"),
        ),
        (Standing("approved", None, "USD"), (REPEATED, "same"), (REPEATED, "same"), (CONVERSION, "matched")),
        (Standing("pending", Decimal(10), "USD"), *[(REPEATED, "transition_not_allowed")] * 3),
        (Standing("refunded", Decimal(4), "USD"), *[(UPDATED, "transition")] * 3),
        (Standing("rejected", None, "USD"), *[(UPDATED, "transition")] * 3),
    ],
)
def test_it_does_with_a_further_postback_what_its_source_wants(
    came: Standing, ignore: tuple[str, str], update: tuple[str, str], repeat: tuple[str, str]
) -> None:
    for duplicates, expected in (
        ("ignore", ignore),
        ("update", update),
        ("repeat", repeat),
        ("rebill", repeat),
    ):
        step = follow(TEN, came, duplicates=duplicates)
        assert (step.verdict, step.code) == expected


def test_it_never_takes_the_amount_of_a_refund_for_that_of_the_sale() -> None:
    step = follow(TEN, Standing("refunded", Decimal(4), "USD"), duplicates="update")
    assert step.after == Standing("refunded", Decimal(10), "USD")


@pytest.mark.parametrize("status", COUNTING)
@pytest.mark.parametrize("duplicates", DUPLICATES)
def test_it_counts_what_is_paid_after_a_refund_where_a_key_may_have_more(
    status: str, duplicates: str
) -> None:
    refunded = Standing("refunded", Decimal(10), "USD")
    step = follow(refunded, Standing(status, Decimal(10), "USD"), duplicates=duplicates)
    more = duplicates in ("rebill", "repeat")
    assert (step.one_more, step.code) == (more, "matched" if more else "transition_not_allowed")


_standings = st.builds(
    Standing,
    st.sampled_from(STATUSES),
    st.decimals(min_value=0, max_value=100, places=2),
    st.sampled_from(("USD", "BRL")),
)


@given(_standings, _standings, st.sampled_from(DUPLICATES))
def test_it_never_leaves_the_allowed_ways_and_gives_a_reason(
    before: Standing, came: Standing, duplicates: str
) -> None:
    step = follow(before, came, duplicates=duplicates)
    assert step.code in REASONS
    assert step.one_more == (step.verdict == CONVERSION)
    if step.verdict == REPEATED:
        assert step.after == before
    if step.verdict == UPDATED:
        assert may_become(before.status, step.after.status)
        assert step.after != before
    if step.one_more:
        assert came.status in COUNTING


@given(_standings, _standings, st.sampled_from(("ignore", "update")))
def test_it_changes_nothing_the_second_time(before: Standing, came: Standing, duplicates: str) -> None:
    after = follow(before, came, duplicates=duplicates).after
    assert follow(after, came, duplicates=duplicates).after == after
