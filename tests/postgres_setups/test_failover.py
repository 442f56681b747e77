"""The primary goes and its standby takes over, behind one address: programs follow by themselves, and nothing is lost,
stored twice or said wrongly. The standby is synchronous, as in a Multi-AZ instance of RDS."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from core.config import Settings
from core.contracts import keys
from core.db.engine import is_away, is_in_doubt, make_engine
from core.db.migrate import migrate
from core.ops import servers
from tests.faults.programs import Server, Workers, private, until
from tests.faults.storm_verdict import waiting
from tests.faults.test_worker_kill import each_once, flow, stored
from tests.postgres_setups.manager import Manager
from tests.postgres_setups.pair import Address, pair, promote
from tests.postgres_setups.pooler import Pooler

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

needs_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux drops packets for one socket alone"
)
FRIENDLY = "The database does not answer"
IN_DOUBT = "this is saved or it is not"

Tell = Callable[[str], None]


@dataclass
class Site:
    """Everything that runs; `engine` leads to the primary past the address, `standby_engine` to the standby."""

    primary: Server
    standby: Server
    address: Address
    engine: Engine
    manager: Manager
    workers: Workers


@pytest.fixture
def make_site(
    environment: dict[str, str], valkey: redis.Redis, tmp_path: Path
) -> Callable[[], "contextmanager[Site]"]:  # fmt: skip
    """Start servers, address, manager; workers are the test's to start."""

    @contextmanager
    def make() -> Iterator[Site]:
        with ExitStack() as stack:
            primary, standby = stack.enter_context(pair(synchronous=True))
            address = stack.enter_context(behind(primary))
            migrate(_sqlalchemy(primary.url))
            engine = make_engine(_sqlalchemy(primary.url))
            stack.callback(engine.dispose)
            told = {**environment, "DATABASE_URL": address.url}
            workers = Workers(told, tmp_path)
            stack.callback(workers.end_all)
            manager = Manager(told, engine, tmp_path / "manager.log")
            stack.callback(manager.close)
            yield Site(primary, standby, address, engine, manager, workers)

    return make


@pytest.mark.parametrize("end", ["killed", pytest.param("swallowed", marks=needs_linux)])
def test_it_follows_the_address_to_the_standby(
    end: str, make_site: Callable[..., "contextmanager[Site]"], valkey: redis.Redis, tell: Tell
) -> None:
    """Killed: connections break at once, and for a while the address leads to a standby that takes no writes.
    Swallowed: the host is gone without a word."""
    with make_site() as site, new_engine(site.standby) as standby:
        manager, workers = site.manager, site.workers
        manager.make_link("before")
        workers.start("default")
        workers.start("track")
        with flow(valkey, size=100, pause=0.1) as clicks:
            until(lambda: stored_rows(site.engine) > 300)
            if end == "swallowed":
                site.address.swallow()
            site.engine.dispose()
            site.primary.kill()
            gone = time.monotonic()
            page = manager.browser.get("/links")
            tell(f"{end}: the manager says so after {time.monotonic() - gone:.1f} s")
            assert (page.status_code, FRIENDLY in page.text) == (503, True)
            program = manager.api.get("/links")
            assert (program.status_code, program.headers["Retry-After"]) == (503, "5")
            assert manager.browser.get("/readyz").status_code == 503
            assert manager.browser.get("/livez").status_code == 200
            time.sleep(2)

            if end == "killed":
                site.address.turn(site.standby.url)
                assert manager.browser.get("/links").status_code == 503
                promote(site.standby)
            else:
                promote(site.standby)
                site.address.turn(site.standby.url)
            back, before = time.monotonic(), stored_rows(standby)
            until(lambda: manager.browser.get("/links").status_code == 200)
            tell(f"{end}: the manager is back {time.monotonic() - back:.1f} s after the standby")
            until(lambda: stored_rows(standby) > before)
            tell(f"{end}: clicks are stored {time.monotonic() - back:.1f} s after the standby took over")
            manager.make_link("after")
        until(lambda: not waiting(valkey, standby))
        assert stored(standby) == each_once(clicks["fed"])
        assert [valkey.xlen(keys.dead(queue)) for queue in keys.QUEUES] == [0] * len(keys.QUEUES)
        assert {item["slug"] for item in manager.api.get("/links").json()["items"]} == {"before", "after"}
        assert [program.poll() for program in workers.running] == [None, None]
        assert "worker.fault" not in workers.log()
        tell(f"{end}: {clicks['fed']:,} clicks, each stored once")


def test_it_stores_once_what_was_committed_without_an_answer(
    make_site: Callable[..., "contextmanager[Site]"], valkey: redis.Redis, tell: Tell
) -> None:
    """The connection goes in the middle of a COMMIT: half of them after the server has committed, half before."""
    with make_site() as site:
        site.workers.start("default")
        site.workers.start("track")
        with flow(valkey, size=100, pause=0.1) as clicks:
            until(lambda: stored_rows(site.engine) > 300)
            for number in range(10):
                site.address.lose_commit(arrives=number % 2 == 0)
                assert site.address.lost.wait(60)
        until(lambda: not waiting(valkey, site.engine))
        assert stored(site.engine) == each_once(clicks["fed"])
        with site.engine.connect() as connection:
            twice = connection.scalar(text("select sum(duplicate) from books"))
            assert (
                connection.scalar(text("select count(*) from schedule where last_result like 'failed%'")) == 0
            )
        assert [valkey.xlen(keys.dead(queue)) for queue in keys.QUEUES] == [0] * len(keys.QUEUES)
        tell(
            f"{clicks['fed']:,} clicks, each stored once; {twice} came again after a COMMIT that nobody answered"
        )


def test_it_does_not_say_whether_it_saved_what_it_can_not_know(
    make_site: Callable[..., "contextmanager[Site]"],
) -> None:
    with make_site() as site:
        path = f"/links/{site.manager.make_link('a')['id']}"
        with site.engine.connect() as connection:
            domain = connection.scalar(text("select domain_id from links"))
        for arrives in (True, False):
            title, url = f"saved: {arrives}", f"https://example.com/{arrives}"
            lose = partial(site.address.lose_commit, arrives=arrives)

            lose()
            answer = site.manager.api.patch(path, json={"title": title})
            assert (answer.status_code, site.address.lost.is_set()) == (503, True)
            assert "may be saved or not" in answer.json()["detail"]
            found = site.manager.api.get(path).json()
            assert (found["title"] == title) is arrives

            fields = {"url": url, "domain_id": str(domain), "slug": "a", "version": str(found["version"])}
            page = site.manager.send_form(f"{path}/edit", fields, before=lose)
            assert page.status_code == 503
            assert IN_DOUBT in page.text and "nothing was saved" not in page.text
            assert url in page.text  # what was typed is kept
            assert (site.manager.api.get(path).json()["url"] == url) is arrives
        assert site.manager.send_form(f"{path}/edit", fields).status_code == 303


@needs_linux
def test_it_does_not_wait_for_a_host_that_is_gone(tell: Tell) -> None:
    """Whether it sends something, or waits for the answer to what has arrived long ago. Once one connection is known
    to be lost, no other one of its age is tried."""
    make = partial(servers.postgres_program, durable=False)
    with private(make) as server, behind(server) as address, new_engine(address) as engine:
        with engine.connect() as waits, engine.connect() as sends:
            sends.execute(text("select 1"))
            with _later(1.0, address.swallow), pytest.raises(OperationalError) as failed:
                begun = time.monotonic() + 1.0
                waits.execute(text("select pg_sleep(600)"))
            tell(f"one that waits is told {time.monotonic() - begun:.1f} s after the host was gone")
            assert is_away(failed.value) and not is_in_doubt(failed.value)
            with pytest.raises(OperationalError):
                sends.execute(text("select 1"))
        begun = time.monotonic()
        with pytest.raises(OperationalError), engine.connect():
            pass
        tell(f"one that connects is told after {time.monotonic() - begun:.1f} s")
    with private(make) as server, behind(server) as address, new_engine(address) as engine:
        with engine.connect() as connection:
            connection.execute(text("select 1"))
            address.swallow()
            begun = time.monotonic()
            with pytest.raises(OperationalError):
                connection.execute(text("select 1"))
        tell(f"one that sends is told after {time.monotonic() - begun:.1f} s")


def test_it_leaves_a_server_that_takes_no_writes_any_more(
    make_site: Callable[..., "contextmanager[Site]"], valkey: redis.Redis
) -> None:
    """Its connections stand, as those to a server that was demoted. None of them is used again."""
    with make_site() as site:
        link = site.manager.make_link("a")
        site.workers.start("default")
        with flow(valkey, size=50, pause=0.1) as clicks:
            until(lambda: stored_rows(site.engine) > 100)
            _say(site.primary, "alter system set default_transaction_read_only = on")
            until(
                lambda: site.manager.api.patch(f"/links/{link['id']}", json={"title": "x"}).status_code == 503
            )
            assert FRIENDLY in site.manager.browser.get("/links").text
            time.sleep(2)
            _say(site.primary, "alter system reset default_transaction_read_only")
            until(
                lambda: site.manager.api.patch(f"/links/{link['id']}", json={"title": "y"}).status_code == 200
            )
        until(lambda: not waiting(valkey, site.engine))
        assert stored(site.engine) == each_once(clicks["fed"])
        assert [valkey.xlen(keys.dead(queue)) for queue in keys.QUEUES] == [0] * len(keys.QUEUES)


@pytest.mark.parametrize("end", ["killed", pytest.param("swallowed", marks=needs_linux)])
def test_it_follows_through_a_pooler(end: str, tell: Tell) -> None:
    with pair(synchronous=True) as (primary, standby), behind(primary) as address, pooled(address) as engine:
        with engine.begin() as connection:
            connection.execute(text("create table t (n int)"))
        if end == "swallowed":
            address.swallow()
        primary.kill()
        gone = time.monotonic()
        with pytest.raises(OperationalError), engine.begin() as connection:
            connection.execute(text("insert into t values (1)"))
        tell(f"{end}: told by PgBouncer after {time.monotonic() - gone:.1f} s")
        promote(standby)
        address.turn(standby.url)
        back = time.monotonic()
        until(lambda: inserts(engine))
        tell(f"{end}: through PgBouncer again {time.monotonic() - back:.1f} s after the standby took over")


def test_it_comes_back_through_a_pooler_that_has_met_the_standby_first() -> None:
    """PgBouncer goes on telling its clients that the session is read-only, as it was told by its first server."""
    with pair(synchronous=False) as (primary, standby), behind(standby) as address, pooled(address) as engine:
        with psycopg.connect(primary.url, autocommit=True) as connection:
            connection.execute("create table t (n int)")
        for _ in range(2):
            with pytest.raises(OperationalError, match="takes no writes"), engine.connect():
                pass
        promote(standby)
        until(lambda: inserts(engine))


def test_it_drops_every_connection_to_a_server_that_takes_no_writes(database_url: str) -> None:
    engine = make_engine(_sqlalchemy(database_url))
    try:
        with engine.connect() as first, engine.connect() as second:
            pids = {each.scalar(text("select pg_backend_pid()")) for each in (first, second)}
        with engine.connect() as connection:
            connection.execute(text("set transaction read only"))
            with pytest.raises(DBAPIError) as refused:
                connection.execute(text("create table t (n int)"))
        assert is_away(refused.value) and not is_in_doubt(refused.value)
        with engine.connect() as first, engine.connect() as second:
            assert not pids & {each.scalar(text("select pg_backend_pid()")) for each in (first, second)}
    finally:
        engine.dispose()


@contextmanager
def behind(server: Server) -> Iterator[Address]:
    address = Address(server.url)
    try:
        yield address
    finally:
        address.close()


@contextmanager
def new_engine(server: Server | Address) -> Iterator[Engine]:
    engine = make_engine(_sqlalchemy(server.url))
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def pooled(address: Address) -> Iterator[Engine]:
    """An engine that goes through PgBouncer, which goes through the address."""
    pooler = Pooler(address.url)
    try:
        engine = make_engine(_sqlalchemy(pooler.url("rastro")))
        try:
            yield engine
        finally:
            engine.dispose()
    finally:
        pooler.close()


def inserts(engine: Engine) -> bool:
    try:
        with engine.begin() as connection:
            connection.execute(text("insert into t values (1)"))
    except OperationalError:
        return False
    return True


def stored_rows(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text("select count(*) from clicks")) or 0)


def _sqlalchemy(url: str) -> str:
    return Settings.from_env({"DATABASE_URL": url}).database_url


def _say(server: Server, setting: str) -> None:
    """Change a setting of a running server, for sessions that stand as well."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(setting.encode())
        connection.execute("select pg_reload_conf()")


@contextmanager
def _later(seconds: float, run: Callable[[], None]) -> Iterator[None]:
    """Run it after a while, beside the block."""
    timer = threading.Timer(seconds, run)
    timer.start()
    try:
        yield
    finally:
        timer.join()
