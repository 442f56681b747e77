"""What the metrics of a redirect cost: the calls that one makes, in a loop, without what is around them."""

from time import perf_counter
from timeit import repeat

from prometheus_client.registry import CollectorRegistry

from core.histogram import SECONDS, SIZES, Histogram
from core.observe import Tally
from tracker_quart.event_log import LARGE

_TIMES = 100_000


def metrics_cost() -> float:
    """Seconds a redirect: snapshots of the domain and of the link, its outcome, how long it took; and its share of what
    is counted for a group."""
    registry = CollectorRegistry()
    tally = Tally()
    took, sizes = (
        Histogram(name, "", bounds=bounds, registry=registry)
        for name, bounds in (("took", SECONDS), ("sizes", SIZES))
    )

    def redirect() -> None:
        began = perf_counter()
        tally.inc()
        tally.inc()
        tally.inc()
        took.observe(perf_counter() - began)

    def group() -> None:
        began = perf_counter()
        took.observe(perf_counter() - began)
        sizes.observe(LARGE)
        tally.inc(LARGE)

    each, of_group = (min(repeat(call, number=_TIMES, repeat=3)) / _TIMES for call in (redirect, group))
    return each + of_group / LARGE
