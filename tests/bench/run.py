"""What the parts of a redirect benchmark share: servers, books, how long and how often, and what was aimed at."""

import argparse
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median_low
from typing import Any

import redis

from tests.bench import visitors
from tests.bench.books import Books
from tests.bench.contestants import Contestant
from tests.bench.load import Load, Round, run_round
from tests.bench.stand import Stand, cpu_seconds

PLAIN_PART, RULES_PART, MISSES_PART, LOAD_PART, MEMORY_PART = "plain", "rules", "misses", "load", "memory"
PARTS = (PLAIN_PART, RULES_PART, MISSES_PART, LOAD_PART, MEMORY_PART)


@dataclass(frozen=True, slots=True)
class Finding:
    """A number that was aimed at. `reached` is None where it could not be measured."""

    what: str
    measured: str
    aim: str
    reached: bool | None

    def row(self) -> tuple[str, ...]:
        """As a line of a table."""
        word = "not measured" if self.reached is None else "yes" if self.reached else "no"
        return (self.what, self.measured, self.aim, word)


@dataclass(slots=True)
class Entry:
    """A contestant with a load: its rounds, and the processor seconds that they cost it and Valkey."""

    name: str
    who: Contestant
    load: Load
    rounds: list[Round] = field(default_factory=list)
    web: float = 0.0
    valkey: float = 0.0

    @property
    def answered(self) -> int:
        return sum(one.answered for one in self.rounds)

    @property
    def middle(self) -> Round:
        """The round whose rate is the median."""
        return sorted(self.rounds, key=lambda one: one.per_second)[(len(self.rounds) - 1) // 2]

    def against(self, base: "Entry") -> float:
        """Its rate by that of another, the median of all rounds: those of one round follow each other closely."""
        pairs = zip(self.rounds, base.rounds, strict=True)
        return median_low(mine.per_second / max(1.0, other.per_second) for mine, other in pairs)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. `warm` are the seconds before the first round; `requests` and `starts` are those of the
    part that looks at memory."""

    seconds: float
    rounds: int
    connections: int
    visitors: int
    links: int
    cache: int
    requests: int
    starts: int
    warm: float

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Size":
        """What the command line asks for."""
        quick: bool = options.quick
        return cls(
            seconds=options.seconds or (1 if quick else 5),
            rounds=options.rounds or (1 if quick else 3),
            connections=options.connections,
            visitors=500 if quick else 5000,
            links=2000 if quick else 100_000,
            cache=100 if quick else 5000,
            requests=5000 if quick else 1_000_000,
            starts=1 if quick else 3,
            warm=0 if quick else 1,
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One run on a stand."""

    stand: Stand
    client: "redis.Redis[Any]"
    books: Books
    size: Size
    rng: random.Random = field(default_factory=lambda: random.Random(1))

    def load(self, name: str, *, host: str, paths: Iterable[str]) -> Load:
        """Ready-made requests for these paths of a host."""
        made = visitors.make_requests(self.rng, host=host, paths=paths)
        return Load.written(self.stand.folder / f"{name}.requests", made)

    def same_path(self, name: str, *, host: str, path: str) -> Load:
        """Ready-made requests of many visitors for one path."""
        return self.load(name, host=host, paths=[path] * self.size.visitors)

    def ask(self, entry: Entry, *, seconds: float) -> Round:
        """Ask for so long. The clicks are read into the books before the next round begins."""
        result = run_round(entry.who.port, entry.load, connections=self.size.connections, seconds=seconds)
        self.books.saw(entry.who.host, result.answered - result.failed)
        self.books.read()
        return result

    def measure(self, entry: Entry) -> None:
        """Add a round."""
        web, valkey = cpu_seconds(entry.who.pid), cpu_seconds(self.stand.valkey)
        entry.rounds.append(self.ask(entry, seconds=self.size.seconds))
        entry.web += cpu_seconds(entry.who.pid) - web
        entry.valkey += cpu_seconds(self.stand.valkey) - valkey
