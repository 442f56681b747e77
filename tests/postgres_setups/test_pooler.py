"""PgBouncer in transaction mode, as docs/examples/pgbouncer.ini sets it up: everything works, and nobody is told what
another program told its session."""

import os
import random
import re
import signal
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from core.config import Settings
from core.contracts import keys
from core.db.engine import make_engine
from core.db.migrate import head_revision, migrate
from core.db.queries import query
from core.ops import backup, check, restore
from core.ops.commands import CommandFailed
from core.services.publishing import republish_all
from tests.faults.programs import Workers, until
from tests.faults.storm_verdict import waiting
from tests.faults.test_worker_kill import each_once, flow, pending, stored
from tests.postgres_setups.manager import Manager
from tests.postgres_setups.pooler import Pooler

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = 3
"""To PostgreSQL, for all programs of a test: far fewer than they have to PgBouncer, so that they meet on each."""

SESSION_STATE = re.compile(
    r"""["']\s*(?:set (?!local )[a-z_.]+ ?(?:=|to )|(?:un)?listen |notify |create temp|prepare )"""
    r"|set_config\([^)]*false|pg_(?:try_)?advisory_lock|create temp|cursor with hold"
)


@pytest.fixture
def pooler(database_url: str) -> Iterator[Pooler]:
    """In front of the run's PostgreSQL."""
    made = Pooler(database_url, default_pool_size=str(CONNECTIONS))
    yield made
    made.close()


@pytest.fixture
def pooled_url(pooler: Pooler, engine: Engine) -> str:
    assert engine.url.database is not None
    return pooler.url(engine.url.database)


@pytest.fixture
def pooled(environment: dict[str, str], pooled_url: str, clean_database: None) -> dict[str, str]:
    """The environment of programs that go through PgBouncer, over empty tables."""
    return {**environment, "DATABASE_URL": pooled_url}


@pytest.fixture
def make_pooled(pooled: dict[str, str]) -> Iterator[Callable[..., Engine]]:
    """Make an engine through PgBouncer; options as for make_engine."""
    made: list[Engine] = []

    def make(**options: int) -> Engine:
        made.append(make_engine(Settings.from_env(pooled).database_url, **options))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


@pytest.fixture
def workers(pooled: dict[str, str], tmp_path: Path) -> Iterator[Workers]:
    made = Workers(pooled, tmp_path)
    yield made
    made.end_all()


@pytest.fixture
def manager(pooled: dict[str, str], engine: Engine, tmp_path: Path) -> Iterator[Manager]:
    made = Manager(pooled, engine, tmp_path / "manager.log")
    yield made
    made.close()


def test_it_migrates_however_often_and_by_however_many(pooler: Pooler, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("drop database if exists rastro_pooled with (force)")
        connection.execute("create database rastro_pooled template template0")
        try:
            url = Settings.from_env({"DATABASE_URL": pooler.url("rastro_pooled")}).database_url
            with ThreadPoolExecutor(2) as two:
                assert list(two.map(migrate, [url, url])) == [head_revision()] * 2
            assert [migrate(url) for _ in range(8)] == [head_revision()] * 8
        finally:
            connection.execute("drop database rastro_pooled with (force)")


def test_it_works_as_a_whole_over_three_connections(
    pooler: Pooler, manager: Manager, workers: Workers, valkey: redis.Redis, engine: Engine
) -> None:
    """Manager, both pools of workers, links, edits, reports, schedule and outbox; workers are killed meanwhile."""
    dice = random.Random(3)
    link = manager.make_link("offer")
    workers.start("default")
    workers.start("track")
    with flow(valkey, size=300) as clicks:
        for round_ in range(4):
            until(lambda: pending(valkey))
            time.sleep(dice.random() / 10)
            pool = dice.choice(("default", "track"))
            workers.end(workers.running[0], signal.SIGKILL)
            workers.start(pool if round_ < 3 else "default")
            edited = manager.api.patch(f"/links/{link['id']}", json={"title": f"Offer {round_}"})
            assert edited.status_code == 200, edited.text
            for page in ("/links", f"/links/{link['id']}", "/queues"):
                assert manager.browser.get(page).status_code == 200
    until(lambda: not waiting(valkey, engine))
    assert stored(engine) == each_once(clicks["fed"])
    assert valkey.xlen(keys.dead("track")) == 0

    counted = manager.api.get("/reports/summary").json()
    assert counted["clicks"] + counted["bots"] == clicks["fed"]
    with engine.connect() as connection:
        until(lambda: not _column(engine, "select name from schedule where last_finished is null"))
        assert connection.scalar(text("select count(*) from schedule where last_result like 'failed%'")) == 0
    assert _states(workers.log()) == [] and _states(manager.log()) == []
    pools = [pool for pool in pooler.ask("SHOW POOLS") if pool["database"] == engine.url.database]
    assert [pool["pool_mode"] for pool in pools] == ["transaction"]


def test_it_saves_a_form_and_shows_it(manager: Manager, engine: Engine) -> None:
    link = manager.make_link("form")
    with engine.connect() as connection:
        domain = connection.scalar(text("select domain_id from links"))
    fields = {"url": "https://example.com/other", "domain_id": str(domain), "slug": "form", "version": "1"}
    answer = manager.send_form(f"/links/{link['id']}/edit", fields)
    assert answer.status_code == 303, answer.text[:2000]
    assert manager.api.get(f"/links/{link['id']}").json()["url"] == "https://example.com/other"


def test_it_ends_what_rests_and_holds_locks(make_pooled: Callable[..., Engine], engine: Engine) -> None:
    """Every transaction has the limit, on whatever connection it comes, and what was locked is free again."""
    hasty = make_pooled(idle_limit=1)
    with engine.begin() as direct:
        direct.execute(query("make_shards"))
    for _ in range(3 * CONNECTIONS):
        with hasty.begin() as connection:
            assert connection.scalar(text("show idle_in_transaction_session_timeout")) == "1s"
    with hasty.connect() as resting:
        resting.execute(text("select * from rollup_shards for update"))
        with engine.begin() as other:  # waits until the server has ended the transaction that rests
            other.execute(text("set local lock_timeout = '60s'"))
            other.execute(text("update rollup_shards set leased_until = '-infinity'"))
        with pytest.raises(DBAPIError):
            resting.execute(text("select 1"))


def test_it_tells_no_program_what_another_told_its_session(
    make_pooled: Callable[..., Engine], pooler: Pooler
) -> None:
    """One after the other on the same connections: a worker with its limits, then one that has none."""
    asked = text(
        "select current_setting('idle_in_transaction_session_timeout'), current_setting('statement_timeout'),"
        " current_setting('lock_timeout'), current_setting('search_path'), current_setting('TimeZone'),"
        " current_setting('application_name'), current_setting('transaction_read_only')"
    )
    hasty, other = make_pooled(idle_limit=7), make_pooled()
    seen = set()
    for _ in range(3 * CONNECTIONS):
        with hasty.begin() as connection:
            connection.execute(text("set local lock_timeout = '4s'"))
            connection.execute(text("select set_config('statement_timeout', '5s', true)"))
            assert tuple(connection.execute(asked).one())[:3] == ("7s", "5s", "4s")
        with other.begin() as connection:
            seen.add(tuple(connection.execute(asked).one()))
    assert seen == {("0", "0", "0", '"$user", public', "UTC", "rastro", "off")}


def test_it_leaves_no_prepared_statement_behind(make_pooled: Callable[..., Engine]) -> None:
    pooled_engine = make_pooled()
    for _ in range(20):
        with pooled_engine.begin() as connection:
            connection.execute(text("select count(*) from links where id > :id"), {"id": 7})
            assert connection.scalar(text("select count(*) from pg_prepared_statements")) == 0


def test_it_reads_links_by_a_cursor_while_others_work(
    manager: Manager, make_pooled: Callable[..., Engine], valkey: redis.Redis, engine: Engine
) -> None:
    """A republish holds one transaction with a cursor from its first link to its last."""
    manager.make_link("first")
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into links (domain_id, slug, slug_key, url) select domain_id, 's' || n, 's' || n, url"
                " from links, generate_series(1, 1200) n"
            )
        )
    seen = []
    republisher = make_pooled(idle_limit=1)

    def progress(done: int, total: int) -> None:
        time.sleep(1.2)  # longer than a transaction of this engine may rest
        seen.append(manager.api.get("/links").status_code)

    assert republish_all(republisher, valkey, progress) == 1201
    assert seen == [200] * 3


def test_it_says_so_when_no_connection_is_free(
    pooled_url: str, environment: dict[str, str], engine: Engine, clean_database: None, database_url: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    narrow = Pooler(database_url, default_pool_size="1", query_wait_timeout="2")
    try:
        assert engine.url.database is not None
        url = narrow.url(engine.url.database)
        manager = Manager({**environment, "DATABASE_URL": url}, engine, tmp_path / "manager.log")
        try:
            with psycopg.connect(url, prepare_threshold=None) as only:
                only.execute("select 1")
                answer = manager.browser.get("/links")
                assert answer.status_code == 503
                assert "The database does not answer" in answer.text
            until(lambda: manager.browser.get("/links").status_code == 200)
        finally:
            manager.close()
    finally:
        narrow.close()


def test_it_takes_no_backup_through_it(pooled: dict[str, str], settings: Settings, tmp_path: Path) -> None:
    """pg_dump empties the search path of its session, which PgBouncer would hand on to the next program."""
    through = replace(settings, database_url=Settings.from_env(pooled).database_url)
    with pytest.raises(CommandFailed, match=r"leads to a pooler.*A backup needs the server itself"):
        backup.write_backup(through, tmp_path / "backup")
    assert list(tmp_path.glob("backup*")) == []


def test_it_restores_nothing_through_it(
    pooled: dict[str, str], settings: Settings, valkey: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    target = tmp_path / "backup"
    backup.write_backup(settings, target)
    for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY"):
        monkeypatch.setitem(os.environ, name, pooled[name])
    with pytest.raises(CommandFailed, match="A restore needs the server itself"):
        restore.run_restore(Namespace(file=target, data=tmp_path / "var", force=True))


def test_it_is_named_by_a_check(pooled: dict[str, str]) -> None:
    found = {finding.what: finding for finding in check.look(pooled)}
    assert found["PostgreSQL"].state == "ok"
    assert found["PostgreSQL"].found.endswith("answers, behind a pooler")
    assert found["tables"].state == "ok"


def test_no_program_keeps_anything_in_its_session() -> None:
    """The next one who adds such a thing meets this test, and docs/postgresql.md."""
    found = [
        f"{path.relative_to(ROOT)}: {match[0].strip()}"
        for folder in ("core", "tasks", "admin_flask")
        for kind in ("*.py", "*.sql")
        for path in sorted((ROOT / folder).rglob(kind))
        for match in SESSION_STATE.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def _states(log: str) -> list[str]:
    """What would have been said if two programs had met in one session."""
    return re.findall(
        r"prepared statement|cursor .* does not exist|unrecognized configuration|current transaction", log
    )


def _column(engine: Engine, sql: str) -> list[object]:
    with engine.connect() as connection:
        return list(connection.scalars(text(sql)))
