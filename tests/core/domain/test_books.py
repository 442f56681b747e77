"""When the books come out, settle, or do not balance."""

from datetime import UTC, datetime, timedelta

import pytest

from core.domain.books import Books, Counts, State, close, judge

HOUR = datetime(2026, 11, 27, 9, tzinfo=UTC)
SOON, LATE = HOUR + timedelta(hours=1, minutes=59), HOUR + timedelta(hours=2)

GOOD = {
    "all stored": Counts(answered=9, accepted=9, stored=9),
    "sent twice and stored once": Counts(answered=9, accepted=11, stored=9, duplicate=2),
    "delivered twice and stored once": Counts(answered=9, accepted=9, stored=9, duplicate=500),
    "set aside or too old": Counts(answered=9, accepted=9, stored=4, expired=3, dead=2),
    "counts of trackers that were not told yet": Counts(answered=0, accepted=9, stored=9),
    "Redis lost its count, the trackers know": Counts(answered=9, accepted=2, stored=9),
    "nothing": Counts(),
}
BAD = {
    "accepted and gone": Counts(answered=9, accepted=9, stored=8),
    "answered and never accepted": Counts(answered=9, accepted=8, stored=8),
    "more stored than accepted": Counts(answered=8, accepted=8, stored=9),
}


@pytest.mark.parametrize("name", GOOD)
def test_it_balances(name: str) -> None:
    assert judge(HOUR, GOOD[name], queued=0, now=LATE) == "balanced"


@pytest.mark.parametrize("name", BAD)
def test_it_settles_before_it_is_judged(name: str) -> None:
    assert judge(HOUR, BAD[name], queued=0, now=SOON) == "settling"
    assert judge(HOUR, BAD[name], queued=0, now=LATE) == "unbalanced"


def test_it_waits_for_clicks_that_may_be_in_the_queue() -> None:
    missing = Counts(answered=9, accepted=9, stored=7)
    assert judge(HOUR, missing, queued=2, now=LATE) == "settling"
    assert judge(HOUR, missing, queued=1, now=LATE) == "unbalanced"


def books(*hours: Counts, waiting: int = 0, running: int = 0, now: datetime = SOON) -> Books:
    starts = [HOUR - timedelta(hours=back) for back in range(len(hours))]
    return close(list(zip(starts, hours, strict=True)), waiting=waiting, running=running, now=now)


def test_it_adds_up_hours_and_what_waits() -> None:
    found = books(
        Counts(answered=10, accepted=12, stored=5, duplicate=2, dead=1),
        Counts(answered=6, accepted=6, stored=6),
        waiting=3,
        running=1,
    )
    assert found.state == "balanced"
    assert [hour.start for hour in found.hours] == [HOUR, HOUR - timedelta(hours=1)]
    total = found.total
    parts = total.stored + total.dead + found.waiting + found.running + found.sent_twice + found.moving
    assert (parts, found.sent_twice, found.moving, found.missing) == (total.accepted, 2, 0, 0)


@pytest.mark.parametrize(
    ("counts", "waiting", "state"),
    [
        (Counts(answered=9, accepted=9, stored=5), 4, "balanced"),
        (Counts(answered=9, accepted=9, stored=5), 3, "unbalanced"),
        (Counts(answered=9, accepted=5, stored=5), 0, "settling"),
        (Counts(answered=5, accepted=5, stored=9), 0, "settling"),
        (Counts(answered=9, accepted=9, stored=9), 4, "balanced"),
    ],
)
def test_it_knows_at_once_when_an_accepted_click_is_gone(counts: Counts, waiting: int, state: State) -> None:
    assert books(counts, waiting=waiting).state == state


def test_one_hour_that_does_not_balance_is_enough() -> None:
    found = books(Counts(answered=9, accepted=9, stored=9), BAD["more stored than accepted"], now=LATE)
    assert found.state == "unbalanced"
    assert [hour.counts for hour in found.unbalanced] == [BAD["more stored than accepted"]]
