"""Which conversions a webhook is told, when it is tried again, and how it signs."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain import sending
from core.domain.sending import SendingSettings, is_drawn, retry_after_s, sign, wait_after, wants

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
numbers = st.integers(min_value=1, max_value=2**63 - 1)


@pytest.mark.parametrize(
    ("settings", "status", "event", "told"),
    [
        (SendingSettings(), "approved", "sale", True),
        (SendingSettings(), "pending", "sale", False),
        (SendingSettings(statuses=("pending", "rejected")), "rejected", "sale", True),
        (SendingSettings(events=("lead",)), "approved", "sale", False),
        (SendingSettings(events=("lead", "sale")), "approved", "Sale", True),
        (SendingSettings(statuses=()), "approved", "sale", False),
    ],
)
def test_it_tells_by_status_and_event(settings: SendingSettings, status: str, event: str, told: bool) -> None:
    assert wants(settings, status=status, event=event) is told


def test_it_keeps_its_settings_in_json() -> None:
    settings = SendingSettings(
        method="POST", headers=(("X-Key", "{click_id}"),), statuses=("pending",), delay_s=5
    )
    assert sending.settings_of(sending.stored(settings)) == settings
    with pytest.raises(msgspec.ValidationError):
        sending.settings_of({"method": "PUT"})


@pytest.mark.parametrize(
    "wrong",
    [{"method": "PUT"}, {"statuses": ("sold",)}, {"percentage": 0}, {"percentage": 101}, {"delay_s": -1}],
)
def test_it_refuses_settings_that_mean_nothing(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"no such|percentage"):
        SendingSettings(**wrong)  # type: ignore[arg-type]


@given(numbers, numbers, st.integers(1, 100), st.integers(1, 100))
def test_a_draw_is_the_same_each_time_and_a_higher_share_keeps_who_was_in(
    webhook: int, conversion: int, one: int, other: int
) -> None:
    def drawn(share: int) -> bool:
        return is_drawn(SendingSettings(percentage=share), webhook_id=webhook, conversion_id=conversion)

    assert drawn(one) == drawn(one)
    assert drawn(100)
    assert not drawn(min(one, other)) or drawn(max(one, other))


def test_a_draw_takes_about_its_share() -> None:
    settings = SendingSettings(percentage=25)
    taken = sum(is_drawn(settings, webhook_id=3, conversion_id=n) for n in range(10_000))
    assert 2300 < taken < 2700


def test_it_waits_longer_and_longer_and_then_gives_up() -> None:
    waits = [wait_after(n, jitter=0.5) for n in range(1, 8)]
    hours = timedelta(hours=1)
    assert waits == [
        timedelta(seconds=30),
        timedelta(minutes=2),
        timedelta(minutes=10),
        hours,
        6 * hours,
        24 * hours,
        None,
    ]


@given(st.integers(1, 6), st.floats(0, 1))
def test_a_wait_is_at_most_a_tenth_off(attempts: int, jitter: float) -> None:
    plain, wait = wait_after(attempts, jitter=0.5), wait_after(attempts, jitter=jitter)
    assert plain is not None and wait is not None
    assert plain * 0.899 <= wait <= plain * 1.101


def test_it_waits_as_long_as_it_is_asked_to_but_no_longer_than_a_day() -> None:
    assert wait_after(1, jitter=0.5, retry_after_s=300) == timedelta(seconds=300)
    assert wait_after(3, jitter=0.5, retry_after_s=300) == timedelta(minutes=10)
    assert wait_after(1, jitter=0.5, retry_after_s=1e9) == timedelta(days=1)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("-5", 0),
        ("soon", 0),
        ("", 0),
        ("Fri, 27 Nov 2026 12:01:30 GMT", 90),
        ("Fri, 27 Nov 2026 11:00:00 GMT", 0),
        ("9" * 400, 999_999_999),
    ],
)
def test_it_reads_how_long_to_wait(value: str, seconds: float) -> None:
    assert retry_after_s(value, now=NOW) == seconds


@given(st.text(max_size=60))
def test_it_reads_any_text_without_an_error(value: str) -> None:
    assert retry_after_s(value, now=NOW) >= 0


def test_anything_but_gone_may_heal_and_only_2xx_is_success() -> None:
    assert [status for status in range(100, 600) if sending.is_accepted(status)] == list(range(200, 300))
    assert [
        status for status in (301, 400, 404, 408, 410, 429, 500, 503) if not sending.may_heal(status)
    ] == [410]


def test_it_leaves_a_failing_webhook_alone_for_longer_and_longer() -> None:
    pauses = [sending.pause_after(n).total_seconds() for n in (1, 2, 3, 10, 18, 500)]
    assert pauses == [1, 4, 9, 100, 300, 300]
    assert sending.pause_after(1, retry_after_s=60) == timedelta(minutes=1)
    assert sending.pause_after(10, retry_after_s=60) == timedelta(seconds=100)
    assert sending.pause_after(1, retry_after_s=1e9) == timedelta(hours=1)


def test_a_receiver_can_check_the_signature() -> None:
    header = sign("a secret", '{"id": 1}', now=NOW)
    seconds, found = (part.partition("=")[2] for part in header.split(","))
    assert int(seconds) == int(NOW.timestamp())
    assert found == hmac.new(b"a secret", f'{seconds}.{{"id": 1}}'.encode(), hashlib.sha256).hexdigest()
