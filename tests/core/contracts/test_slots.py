"""Where names lie in a cluster."""

import pytest
from redis.crc import key_slot

from core.contracts import keys


@pytest.mark.parametrize(
    "name", [keys.HOME, keys.link(7, "{x}y"), keys.link(7, "verão"), "a{}b", "a{b", "}{", keys.ANSWERED]
)
def test_it_finds_the_slot_that_redis_finds(name: str) -> None:
    assert keys.slot_of(name) == key_slot(name.encode("utf-8"))


def test_it_has_a_marker_and_a_token_in_each_slot() -> None:
    for name in (keys.ready_in, keys.run_in):
        assert [key_slot(name(slot).encode("ascii")) for slot in range(keys.SLOTS)] == list(range(keys.SLOTS))


def test_it_keeps_together_what_is_not_spread() -> None:
    queue = [function("track") for function in (keys.stream, keys.later, keys.dead, keys.held, keys.trials)]
    others = [keys.counted(bytes(16)), keys.worker("x"), keys.api_rate(1, 2), keys.form_draft(1, "t")]
    others += [keys.password_tries(7, 8, "192.0.2.1"), keys.CAP_COUNTS, keys.PAUSED, f"{keys.RATE_LIMITS}:a"]
    assert {keys.slot_of(name) for name in queue + others} == {keys.slot_of(keys.HOME)}


def test_it_asks_a_server_that_does_not_know_its_own_address_where_it_was_found() -> None:
    slots = [[0, 16383, [None, 7001, b"id"], [b"10.0.0.2", 7002, b"id"]]]
    assert keys.home_of(slots, asked="cache.example") == ("cache.example", 7001)
    assert keys.hosts_of(slots, asked="cache.example", named=[("a", 1)]) == [
        ("a", 1),
        ("cache.example", 7001),
    ]
    with pytest.raises(LookupError):
        keys.home_of([], asked="cache.example")
