"""A histogram for what happens on every visit: a fifth of what one of prometheus_client costs, with its locks."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import REGISTRY
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString

SECONDS = (
    *(0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01),
    *(0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
"""Bounds for what takes from 50 microseconds to 2.5 seconds."""

SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
"""Bounds for how many clicks travel together."""


class Histogram(Collector):
    """Values counted by the bound that they do not exceed. One thread alone adds to it; any other may read."""

    def __init__(
        self,
        name: str,
        documentation: str,
        *,
        bounds: Sequence[float],
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._family = (name, documentation)
        self._bounds = list(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, value: float) -> None:
        """Count a value: 0.2 us."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Called by prometheus_client for each look at the metrics."""
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        upto = accumulate(list(self._counts))
        yield HistogramMetricFamily(
            *self._family, buckets=list(zip(names, upto, strict=True)), sum_value=self._sum
        )
