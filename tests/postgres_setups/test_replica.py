"""Reports are read from a streaming replica while it keeps up; nobody sees a page fail, or an old figure for long."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from core.config import Settings
from core.db.engine import make_engine
from core.db.migrate import migrate
from core.db.replica import LEFT_S, LOOK_S, Replica
from core.ops import check
from tests.faults.programs import Server, Workers, until
from tests.faults.test_worker_kill import feed
from tests.postgres_setups.manager import Manager
from tests.postgres_setups.pair import Address, pair, promote

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

Tell = Callable[[str], None]


@dataclass
class Site:
    """A manager whose reports lie behind `address`, on a replica; a worker stores clicks on the primary."""

    primary: Server
    replica: Server
    address: Address
    manager: Manager

    def counted(self) -> int:
        """All clicks, as a program is told. Every answer is a good one."""
        answer = self.manager.api.get("/reports/summary")
        assert answer.status_code == 200, answer.text
        counts = answer.json()
        return int(counts["clicks"] + counts["bots"])

    def uses(self) -> int:
        """How often the replica was taken into use."""
        return self.manager.log().count("replica.used")

    def leaves(self) -> int:
        return self.manager.log().count("replica.left")

    def scans(self) -> int:
        """How often the replica itself has read the table of counts."""
        with psycopg.connect(self.replica.url) as connection:
            row = connection.execute(
                "select coalesce(sum(seq_scan + idx_scan), 0) from pg_stat_user_tables where relname = 'rollup_totals'"
            ).fetchone()
        return int(row[0]) if row else 0

    def say(self, command: str) -> None:
        with psycopg.connect(self.replica.url, autocommit=True) as connection:
            connection.execute(command.encode())


@pytest.fixture
def site(environment: dict[str, str], valkey: redis.Redis, tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        primary, replica = stack.enter_context(pair(synchronous=False))
        address = Address(replica.url)
        stack.callback(address.close)
        url = Settings.from_env({"DATABASE_URL": primary.url}).database_url
        migrate(url)
        engine = make_engine(url)
        stack.callback(engine.dispose)
        told = {**environment, "DATABASE_URL": primary.url, "DATABASE_REPLICA_URL": address.url}
        workers = Workers(told, tmp_path)
        stack.callback(workers.end_all)
        workers.start("track")
        manager = Manager(told, engine, tmp_path / "manager.log")
        stack.callback(manager.close)
        made = Site(primary, replica, address, manager)
        until(lambda: made.counted() == 0 and made.uses() == 1)
        yield made


def test_it_reads_reports_there_while_it_keeps_up(site: Site, valkey: redis.Redis, tell: Tell) -> None:
    link = site.manager.make_link("own")
    feed(valkey, 300)
    until(lambda: site.counted() == 300)
    for page in ("/links", f"/links/{link['id']}"):
        assert site.manager.browser.get(page).status_code == 200
    until(lambda: site.scans() > 0)

    site.say("select pg_wal_replay_pause()")
    feed(valkey, 200)
    begun = time.monotonic()
    seen = [300]
    until(lambda: seen.append(site.counted()) or seen[-1] == 500)  # type: ignore[func-returns-value]
    tell(f"a replica that stands still was left {time.monotonic() - begun:.1f} s after clicks came")
    assert seen == sorted(seen)  # a worker may have stored some of them before the others
    assert "s behind" in site.manager.log()

    link = site.manager.make_link("later")  # which the replica does not have
    assert site.manager.browser.get(f"/links/{link['id']}").status_code == 200
    changed = site.manager.api.patch(f"/links/{link['id']}", json={"title": "Changed"})
    assert (changed.status_code, changed.json()["title"]) == (200, "Changed")
    assert "Changed" in site.manager.browser.get("/links").text

    site.say("select pg_wal_replay_resume()")
    until(lambda: site.counted() == 500 and site.uses() == 2)


def test_it_asks_the_primary_while_the_replica_is_away(site: Site, valkey: redis.Redis, tell: Tell) -> None:
    """It is stopped in the middle of its work, comes back, and becomes a server of its own."""
    feed(valkey, 300)
    until(lambda: site.counted() == 300)
    site.replica.stop()
    feed(valkey, 100)
    until(lambda: site.counted() == 400 and site.leaves() == 1)
    site.replica.start()
    until(lambda: site.counted() == 400 and site.uses() == 2)
    promote(site.replica)
    feed(valkey, 100)
    until(lambda: site.counted() == 500 and site.leaves() == 2)
    assert "it follows no primary" in site.manager.log()
    assert "manager.postgres_away" not in site.manager.log()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux drops packets for one socket alone")
def test_it_waits_once_for_a_replica_whose_host_is_gone(site: Site, valkey: redis.Redis, tell: Tell) -> None:
    feed(valkey, 300)
    until(lambda: site.counted() == 300)
    site.address.swallow()
    waited = []
    end = time.monotonic() + LEFT_S + 10
    while time.monotonic() < end:  # one that it was asked again in between
        begun = time.monotonic()
        assert site.counted() == 300
        waited.append(time.monotonic() - begun)
        time.sleep(0.2)
    tell(
        f"a replica whose host is gone: the longest answer took {max(waited):.1f} s, {len(waited)} were given"
    )
    assert len([each for each in waited if each > LOOK_S]) == 1
    assert site.leaves() == 1


def test_it_writes_nothing_there(database_url: str) -> None:
    with _engine(database_url, reads_only=True) as engine:
        with engine.connect() as connection, pytest.raises(SQLAlchemyError, match="read-only transaction"):
            connection.execute(text("create table t (n int)"))
        with engine.connect() as connection:
            assert connection.scalar(text("show transaction_read_only")) == "on"


def test_a_report_that_takes_too_long_is_not_read_a_second_time(database_url: str) -> None:
    with _engine(database_url, reads_only=True) as engine, _engine(database_url) as primary:
        replica = Replica(engine, primary, later=lambda run: run())
        for sql, left in (
            ("select pg_sleep(60)", False),
            ("select pg_terminate_backend(pg_backend_pid())", True),
        ):
            with engine.connect() as connection:
                connection.execute(text("set local statement_timeout = '20ms'"))
                with pytest.raises(SQLAlchemyError) as failed:
                    connection.execute(text(sql))
            assert replica.leaves(failed.value) is left


def test_a_server_that_follows_nobody_is_no_replica(
    database_url: str, environment: dict[str, str], clean_database: None
) -> None:
    with _engine(database_url, reads_only=True) as engine, _engine(database_url) as primary:
        assert Replica(engine, primary, later=lambda run: run()).session() is None
    found = {line.what: line for line in check.look({**environment, "DATABASE_REPLICA_URL": database_url})}
    assert (found["replica"].state, found["replica"].found) == (
        "warn",
        "follows no primary, so it is not used",
    )


@contextmanager
def _engine(url: str, *, reads_only: bool = False) -> Iterator[Engine]:
    engine = make_engine(Settings.from_env({"DATABASE_URL": url}).database_url, reads_only=reads_only)
    try:
        yield engine
    finally:
        engine.dispose()
