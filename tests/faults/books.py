"""The books of a fault test: what visitors were answered, what Redis holds, and what the trackers say of themselves."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from core.contracts import click_event, keys
from core.contracts.click_event import ClickEvent
from tests.tracker_quart.rig import Trackers, Valkey, Visitors, answered_in, wait_until


@dataclass(frozen=True, slots=True)
class Held:
    """What a Redis held at one moment: the clicks in its stream, its own count of them by hour, and what trackers told
    it that they had answered, by hour and tracker."""

    clicks: list[ClickEvent]
    accepted: Counter[str]
    answered: Counter[str]


def held(valkey: Valkey, *, then_empty: bool = False) -> Held:
    """What `valkey` holds; with `then_empty` it holds nothing afterwards, and no click falls in between."""
    with valkey.client.pipeline(transaction=True) as pipe:
        pipe.xrange(keys.stream("track")).hgetall(keys.ACCEPTED).hgetall(keys.ANSWERED)
        if then_empty:
            pipe.flushall()
        entries, accepted, answered, *_ = pipe.execute()
    return Held(
        [click_event.decode(fields[keys.EVENT_FIELD]) for _, fields in entries],
        Counter({hour.decode(): int(count) for hour, count in accepted.items()}),
        Counter({field.decode(): int(count) for field, count in answered.items()}),
    )


def balance(visitors: Visitors, trackers: Trackers, *stores: Held | Valkey, lost: int = 0) -> int:
    """Once no click waits on disk: every answered visit is one click, but for `lost` which the trackers own up to.

    What is compared, by the number that each visit has in its query:

    - *answered*: the visitors' own list of the 302s that they read. All who were answered got a 302, and where no
      tracker was killed, all who asked were answered and nobody was cut.
    - *kept*: the distinct numbers in the streams of `stores`, which must be as many as the distinct ids: one visit,
      one id. What is not answered is kept only where a tracker was killed before it could answer. What is answered
      and not kept was called lost; so may be the one group that Redis took as it died, and could not acknowledge.
    - *accepted*: each Redis' own count, which is that of its entries, hour by hour of their ids.
    - *the trackers' books*, where none was killed: what they told any Redis, and have in their files.
    - *the trackers' counters*, where no process has taken its own away: redirected = in Redis + on disk + lost =
      answered, and all that was on disk was replayed.

    Returns how many entries are there a second time, under an id that the worker knows already.
    """
    wait_until(lambda: not list(trackers.spool.glob("*.spool")), "nothing waits on disk")
    assert set(visitors.statuses) == {302}, visitors.statuses
    if not trackers.killed:
        assert visitors.failed == [], visitors.failed
        assert visitors.unanswered == set()
    found = [held(store) if isinstance(store, Valkey) else store for store in stores]
    clicks = [click for one in found for click in one.clicks]
    number_of = {click.id: click.query.partition("&")[0] for click in clicks}
    kept = set(number_of.values())
    assert len(kept) == len(number_of)
    assert kept <= visitors.answered | visitors.unanswered
    missing = len(visitors.answered - kept)
    assert missing <= lost <= missing + (visitors.connections if lost else 0), (missing, lost)

    for one in found:
        hours = Counter(click_event.hour_name(click_event.unix_ms(click.id)) for click in one.clicks)
        assert one.accepted == hours

    if not trackers.killed:
        answered = len(visitors.answered)
        wait_until(lambda: _told(trackers, stores) >= answered, "all that was answered is told")
        assert _told(trackers, stores) == answered
    assert trackers.metric(LOST) <= lost
    if all(trackers.alive):
        on_disk = trackers.metric(ON_DISK)
        assert trackers.metric(LOST) == lost
        assert trackers.metric(IN_REDIS) + on_disk + lost == len(visitors.answered)
        assert trackers.metric('rastro_answered_total{outcome="redirect"}') == len(visitors.answered)
        wait_until(
            lambda: trackers.metric("rastro_replayed_total") == on_disk, "all that was on disk is replayed"
        )
    return len(clicks) - len(number_of)


IN_REDIS, ON_DISK, LOST = (f'rastro_clicks_total{{kept="{where}"}}' for where in ("redis", "spool", "lost"))


def _told(trackers: Trackers, stores: Sequence[Held | Valkey]) -> int:
    """Clicks answered, as the trackers count them: each tells all that it knows of an hour, again and again."""
    told: Counter[str] = Counter()
    for store in stores:
        told |= (held(store) if isinstance(store, Valkey) else store).answered
    for name, hours in answered_in(trackers.spool).items():
        for hour, clicks in hours.items():
            told |= Counter({keys.answered_field(click_event.hour_name(hour * 3_600_000), name): clicks})
    return told.total()
