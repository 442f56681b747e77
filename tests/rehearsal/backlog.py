"""`python -m tests.rehearsal.backlog NUMBER`: puts clicks into the stream by the trackers' own commit script.

As fast as Redis takes them: a spike that no tracker of this machine could make. REDIS_URL says where. A million take
some 500 MB until they are sent.
"""

import argparse
import itertools
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files

import redis
import uuid_utils

from core.contracts import click_event, keys
from core.contracts.click_event import hour_name
from tests.bench.traffic import click_payloads

LINKS = 2000
_GROUP, _AT_ONCE = 500, 10
"""Clicks of a group, and groups of a round trip: Redis is not held up for long by either."""

_SAMPLES = 5000
_PATIENCE_S = 30.0


def main() -> None:
    """Return once all of them are accepted."""
    parser = argparse.ArgumentParser(prog="python -m tests.rehearsal.backlog", description=__doc__)
    parser.add_argument("number", type=int)
    number: int = parser.parse_args().number
    # What is not answered is sent again: a click that comes twice is stored once, and the books count it as sent twice.
    client = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=_PATIENCE_S)
    source = files("core.contracts").joinpath("commit_clicks.lua")
    commit = client.register_script(source.read_text(encoding="utf-8"))
    clicks = payloads()
    sizes = (min(_GROUP, number - first) for first in range(0, number, _GROUP))
    # All are made before the first is sent, so that they come faster than workers store them.
    groups = [_words(list(itertools.islice(clicks, size))) for size in sizes]
    while groups:
        with client.pipeline(transaction=False) as pipe:
            for words in groups[:_AT_ONCE]:
                commit(keys=[keys.stream("track"), keys.ACCEPTED], args=words, client=pipe)
            pipe.execute()
        del groups[:_AT_ONCE]
    client.close()


def payloads() -> Iterator[tuple[bytes, bytes]]:
    """Ids and clicks without end; beside the id all repeats, so that making them takes less than storing them."""
    start_ms = int(time.time() * 1000)
    samples = []
    for data in click_payloads(
        random.Random(1), number=_SAMPLES, links=LINKS, start_ms=start_ms, per_second=10_000
    ):
        identity = click_event.decode(data).id
        before, _, after = data.partition(identity)
        samples.append((before, after))
    while True:
        for before, after in samples:
            identity = uuid_utils.uuid7().bytes
            yield identity, before + identity + after


def _words(clicks: list[tuple[bytes, bytes]]) -> list[str | int | bytes]:
    """What the script is told of a group."""
    hours = Counter(hour_name(click_event.unix_ms(identity)) for identity, _ in clicks)
    return [len(hours), *itertools.chain.from_iterable(hours.items()), *(data for _, data in clicks)]


if __name__ == "__main__":
    main()
