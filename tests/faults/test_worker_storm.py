"""Everything goes wrong at once, for as long as you like (`--storm-minutes 5`): nothing is lost or counted twice.

Real servers, four workers of both pools, clicks, postbacks and tasks without a pause. How long, and what the dice say,
are options (`--storm-minutes`, `--storm-seed`); what was counted is printed at the end of the run.
"""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy import Engine, text

from core.config import Settings
from core.contracts import keys
from core.db.engine import make_engine
from core.db.migrate import migrate
from core.ops import servers
from tasks import housekeeping
from tasks.registry import Context
from tests.core.db.postbacks import make_source
from tests.faults.programs import LEASE_S, Server, Workers, private, until
from tests.faults.storm_load import SOURCE, Books, Load
from tests.faults.storm_verdict import (
    check_letters,
    check_postbacks,
    check_schedule,
    check_tasks,
    expected,
    found,
    letters,
    look_now,
    said,
    waiting,
)
from tests.faults.storm_worker import ENTRIES, TABLES
from tests.faults.test_worker_kill import pending

pytestmark = [pytest.mark.faults, pytest.mark.timeout(0)]  # each wait has a limit of its own

Tell = Callable[[str], None]

POOLS = ("default", "track", "default", "track")
SHORT_STORM_S = 18.0
OUTAGE_S, SHORT_OUTAGE_S = 300.0, 6.0
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # of the product
SESSIONS = "from pg_stat_activity where application_name = 'rastro' and pid <> pg_backend_pid()"


@dataclass
class Place:
    """Where it storms."""

    postgres: Server
    valkey: Server
    workers: Workers
    engine: Engine
    client: "redis.Redis"
    settings: Settings
    dice: random.Random
    faults: Counter[str] = field(default_factory=Counter)

    def replace(self, program: "subprocess.Popen[bytes]", signum: int) -> None:
        """End a worker, and start another one of its pool."""
        self.workers.start(pool_of(program))
        status = self.workers.end(program, signum)
        assert status == (-signal.SIGKILL if signum == signal.SIGKILL else 0), self.workers.log()[-5000:]

    def all_workers(self) -> "list[subprocess.Popen[bytes]]":
        """Once each of them listens to signals."""
        until(lambda: all(map(self.workers.is_up, self.workers.running)))
        return list(self.workers.running)

    def any_worker(self) -> "subprocess.Popen[bytes]":
        return self.dice.choice(self.all_workers())

    def pause(self, least: float, most: float) -> None:
        time.sleep(self.dice.uniform(least, most))

    def sessions(self, sql: str) -> list[int]:
        """Ask PostgreSQL about the workers' sessions, once it has recovered."""
        found: list[list[int]] = []

        def ask() -> bool:
            with (
                suppress(psycopg.OperationalError),
                psycopg.connect(self.postgres.url, autocommit=True) as it,
            ):
                found.append([row[0] for row in it.execute(sql)])
            return bool(found)

        until(ask)
        return found[0]


def has_begun(engine: Engine) -> bool:
    """Every entry of the schedule ran once. What runs daily takes hours long past out of Redis, and later clicks of
    such an hour are counted from nothing, as its contract says; here it is over before poison from 1970 comes."""
    with engine.connect() as connection:
        runs = connection.execute(text("select count(*), count(last_finished) from schedule")).one()
    return runs == (len(ENTRIES), len(ENTRIES))


def pool_of(program: "subprocess.Popen[bytes]") -> str:
    assert isinstance(program.args, list)
    return str(program.args[-1])


@contextmanager
def place(
    environment: dict[str, str], logs: Path, dice: random.Random, *, waits: tuple[float, float]
) -> Iterator[Place]:
    """Both servers, empty, and the workers; all of it is gone after the block, whatever happens in it."""
    with ExitStack() as stack:
        postgres = stack.enter_context(private(servers.postgres_program))
        valkey = stack.enter_context(private(servers.valkey_program))
        environment = {
            **environment,
            "DATABASE_URL": postgres.url,
            "REDIS_URL": valkey.url,
            "LOG_FORMAT": "json",
            "DRAIN_LIMIT": "10",
        }
        settings = Settings.from_env(environment)
        migrate(settings.database_url)
        engine = make_engine(settings.database_url)
        stack.callback(engine.dispose)
        with engine.begin() as connection:
            connection.execute(text(TABLES))
        assert make_source(engine) == SOURCE
        client = redis.Redis.from_url(valkey.url)
        stack.callback(client.close)
        words = [str(wait) for wait in waits]
        workers = Workers(environment, logs, module="tests.faults.storm_worker", words=words)
        stack.callback(workers.end_all)
        for pool in POOLS:
            workers.start(pool)
        until(partial(has_begun, engine))
        yield Place(postgres, valkey, workers, engine, client, settings, dice)


# Faults.


def kill_a_worker(at: Place) -> None:
    until(lambda: pending(at.client))
    at.pause(0, 0.1)
    at.replace(at.any_worker(), signal.SIGKILL)


def tell_all_workers_to_stop(at: Place) -> None:
    told = at.all_workers()
    for program in told:
        program.send_signal(signal.SIGTERM)
        at.workers.start(pool_of(program))
    for program in told:
        assert at.workers.wait(program) == 0


def freeze_a_worker_past_its_lease(at: Place) -> None:
    until(lambda: pending(at.client))
    frozen = at.any_worker()
    frozen.send_signal(signal.SIGSTOP)
    at.pause(1.5 * LEASE_S, 3 * LEASE_S)
    frozen.send_signal(signal.SIGCONT)


def kill_postgresql(at: Place) -> None:
    until(lambda: at.sessions(f"select pid {SESSIONS} and state <> 'idle'"))
    with at.postgres.away(Server.kill):
        at.pause(0.1, 2)
        if at.dice.random() < 0.5:
            at.replace(at.any_worker(), at.dice.choice((signal.SIGKILL, signal.SIGTERM)))


def kill_a_session_of_postgresql(at: Place) -> None:
    """PostgreSQL then ends all others, and recovers."""
    found: list[int] = []
    until(lambda: found.extend(at.sessions(f"select pid {SESSIONS} and state <> 'idle'")) or found)
    os.kill(found[0], signal.SIGKILL)
    at.pause(0.1, 0.5)
    at.sessions("select 1")


def cut_all_connections_to_postgresql(at: Place) -> None:
    for _ in range(3):
        at.sessions(f"select pg_terminate_backend(pid) {SESSIONS}")
        at.pause(0, 0.3)


def stop_valkey(at: Place) -> None:
    with at.valkey.away(Server.stop):
        at.pause(0.1, 2)
        if at.dice.random() < 0.5:
            at.replace(at.any_worker(), at.dice.choice((signal.SIGKILL, signal.SIGTERM)))


def kill_valkey(at: Place) -> None:
    with at.valkey.away(Server.kill):
        at.pause(0.1, 1)


def kill_both_servers(at: Place) -> None:
    with at.postgres.away(Server.kill), at.valkey.away(Server.kill):
        at.pause(0.1, 1)


def pause_a_queue(at: Place) -> None:
    queue = at.dice.choice(keys.QUEUES)
    at.client.sadd(keys.PAUSED, queue)
    at.pause(0.2, 1)
    at.replace(at.any_worker(), signal.SIGKILL)
    at.pause(0.2, 1)
    at.client.srem(keys.PAUSED, queue)


FAULTS: tuple[Callable[[Place], None], ...] = (
    *([kill_a_worker] * 4),
    tell_all_workers_to_stop,
    freeze_a_worker_past_its_lease,
    kill_postgresql,
    kill_a_session_of_postgresql,
    cut_all_connections_to_postgresql,
    stop_valkey,
    kill_valkey,
    kill_both_servers,
    pause_a_queue,
)


def storm(at: Place, seconds: float) -> None:
    """Every fault at least once, in an order of the dice, and on until the time is over."""
    end = time.monotonic() + seconds
    deck: list[Callable[[Place], None]] = []
    while deck or time.monotonic() < end:
        if not deck:
            deck = at.dice.sample(FAULTS, k=len(FAULTS))
        fault = deck.pop()
        fault(at)
        at.faults[fault.__name__.replace("_", " ")] += 1
        ended = [program for program in at.workers.running if program.poll() is not None]
        assert ended == [], at.workers.log()[-5000:]
        at.pause(0, 0.4)


def judge(at: Place, books: Books, tell: Tell) -> None:
    """Once all is done: everything adds up, by whatever way it is counted."""
    until(lambda: waiting(at.client, at.engine) == 0, limit=300)
    until(lambda: look_now(at.engine) == 0, limit=60)
    for program in at.all_workers():
        assert at.workers.end(program, signal.SIGTERM) == 0
    left = waiting(at.client, at.engine)  # runs that fell due since
    context = Context(settings=at.settings, engine=at.engine, redis=at.client)
    housekeeping.copy_books(context, datetime.now(UTC))

    wanted, there = expected(books, at.settings.tz_default), found(books, at.engine)
    assert there == wanted
    assert [at.client.hgetall(keys.suspects(queue)) for queue in keys.QUEUES] == [{}] * len(keys.QUEUES)
    times, entries = said(at.workers.log())
    assert times["worker.fault"] == 0
    interruptions = entries["worker.redelivered"] + times["worker.waits"] + times["chore.failed"]

    people, uniques, robots, others = there.all_links
    accepted, stored = sum(there.accepted.values()), sum(there.stored.values())
    poison = sum(count for (queue, *_), count in books.poison.items() if queue == "track")
    for fault, count in at.faults.items():
        tell(f"{fault}: {count} times")
    tell(
        f"clicks: {len(books.clicks):,} sent, {there.rows:,} stored; people {people:,}, robots {robots:,}, "
        f"others {others:,}; unique {uniques:,}, counted on its own {wanted.unique_rows:,}"
    )
    tell(
        f"books: accepted {accepted:,} = stored {stored:,} + sent twice {books.twice:,} + poison {poison:,} "
        f"({books.unknown:,} were taken by a Redis that could not say so)"
    )
    tell(check_postbacks(books, at.engine))
    tell(check_tasks(books, at.engine, interruptions))
    tell(check_schedule(at.engine, interruptions, left=left))
    tell(check_letters(books, at.client))
    tell(
        f"workers: {entries['worker.redelivered']:,} entries taken over from others, "
        f"{times['worker.waits']:,} waits for a server"
    )


def test_it_stores_every_click_once_whatever_fails(
    environment: dict[str, str],
    tmp_path: Path,
    storm_minutes: float | None,
    storm_seed: int,
    tell: Tell,
) -> None:
    seconds = SHORT_STORM_S if storm_minutes is None else storm_minutes * 60
    tell(f"storm of {seconds:.0f} s, --storm-seed {storm_seed}")
    dice = random.Random(storm_seed)
    with place(environment, tmp_path, dice, waits=(0.05, 0.5)) as at:
        with Load(at.valkey.url, random.Random(storm_seed)) as load:
            storm(at, seconds)
        judge(at, load.books, tell)


def test_it_blames_no_entry_for_five_minutes_without_postgresql(
    environment: dict[str, str],
    tmp_path: Path,
    storm_minutes: float | None,
    storm_seed: int,
    tell: Tell,
) -> None:
    """In the short form both the outage and the waits are a fiftieth of what they are."""
    seconds = SHORT_OUTAGE_S if storm_minutes is None else min(OUTAGE_S, storm_minutes * 60)
    speed = 1.0 if storm_minutes else SHORT_OUTAGE_S / OUTAGE_S
    tell(f"{seconds:.0f} s without PostgreSQL, --storm-seed {storm_seed}")
    dice = random.Random(storm_seed)
    waits = (FIRST_WAIT * speed, LONGEST_WAIT * speed)
    with place(environment, tmp_path, dice, waits=waits) as at:
        with Load(at.valkey.url, random.Random(storm_seed)) as load:
            until(lambda: pending(at.client))
            with at.postgres.away():
                for signum in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
                    time.sleep(seconds / 5)
                    at.replace(at.any_worker(), signum)
                time.sleep(seconds / 5)
                assert set(letters(at.client)) <= set(load.books.poison)
        at.faults["postgresql gone"] += 1
        judge(at, load.books, tell)
