"""Click ids are unique, and carry the click's time."""

from uuid import UUID

from core.contracts.click_event import unix_ms
from core.observe import CLOCK_BACK
from tracker_quart.click_ids import ClickIds


def test_it_makes_uuid_7_of_the_clocks_time() -> None:
    click_id = ClickIds(clock_ns=lambda: 1_795_447_800_123_456_789).new()
    assert unix_ms(click_id) == 1_795_447_800_123
    assert (UUID(bytes=click_id).version, UUID(bytes=click_id).variant) == (7, "specified in RFC 4122")


def test_it_stays_unique_when_the_clock_jumps_back() -> None:
    times = [5_000, 9_000_000, 4_000_000, 4_000_001, 4_000_001, 9_000_001, 8_999_900, 3_000_000, 3_000_000]
    before = CLOCK_BACK._value.get()
    feed = iter(times)
    ids = ClickIds(clock_ns=lambda: next(feed) * 1_000_000)
    made = [ids.new() for _ in times]
    assert len(set(made)) == len(times)
    assert [unix_ms(click_id) for click_id in made] == times
    assert CLOCK_BACK._value.get() - before == 2  # once for each jump, not for each id; slewing is no jump


def test_it_does_not_repeat() -> None:
    ids = ClickIds(clock_ns=lambda: 0)
    assert len({ids.new() for _ in range(50_000)}) == 50_000


def test_it_leaves_no_bit_but_time_version_and_variant_to_be_guessed() -> None:
    ids = ClickIds(clock_ns=lambda: 0)
    ones = zeros = 0
    for _ in range(2_000):
        number = int.from_bytes(ids.new(), "big")
        ones |= number
        zeros |= ~number & (1 << 128) - 1
    assert f"{ones & zeros:032x}" == "000000000000" + "0fff" + "3fffffffffffffff"
