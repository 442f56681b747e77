"""A histogram counts as Prometheus expects it, from one thread and cheaply."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client import Histogram as Slow

from core.histogram import SECONDS, SIZES, Histogram


def test_it_says_what_a_histogram_of_prometheus_says() -> None:
    values = [0, 0.000_05, 0.000_051, 0.0001, 0.003, 0.003, 2.5, 2.6, 100]
    texts = []
    for kind in ("ours", "theirs"):
        registry = CollectorRegistry()
        if kind == "ours":
            mine = Histogram("x_seconds", "Some time", bounds=SECONDS, registry=registry)
            for value in values:
                mine.observe(value)
        else:
            slow = Slow("x_seconds", "Some time", buckets=SECONDS, registry=registry)
            for value in values:
                slow.observe(value)
        lines = generate_latest(registry).decode().splitlines()
        texts.append([line for line in lines if "_created" not in line])
    assert texts[0] == texts[1]


def test_it_shows_zeros_before_anything_happened() -> None:
    registry = CollectorRegistry()
    Histogram("x_clicks", "Clicks", bounds=SIZES, registry=registry)
    assert registry.get_sample_value("x_clicks_count") == 0
    assert registry.get_sample_value("x_clicks_bucket", {"le": "500.0"}) == 0
