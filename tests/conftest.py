"""Real servers for every test that needs one: PostgreSQL and Valkey are started once a run and shared.

Each parallel test process has its own database (cloned from one migrated template) and its own Redis database number.
"""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import psycopg
import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from core.config import Settings
from core.db.base import Base
from core.db.engine import make_engine, make_sessions
from core.db.migrate import migrate
from core.ops import servers
from tests.redis_setups.everywhere import everywhere
from tests.redis_setups.setups import cluster

_POSTGRES, _VALKEY = "RASTRO_TEST_POSTGRES", "RASTRO_TEST_VALKEY"
_TEMPLATE = "rastro"

TOLD = "told"
"""The property of a test's report that the end of the run prints."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the storms of `tests/faults/test_worker_storm.py` are, and what the dice say; which Redis there is;
    which form of `tests/rehearsal` is played."""
    parser.addoption(
        "--redis",
        choices=("one", "cluster"),
        default="one",
        help="one server (the default), or a cluster of three",
    )
    parser.addoption("--storm-minutes", type=float, help="how long it storms (without it: some seconds)")
    parser.addoption("--storm-seed", type=int, help="the dice of an earlier storm (without it: new ones)")
    parser.addoption("--rehearsal", choices=("short", "long"), default="short", help="(default: short)")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have told, whichever process they ran in."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    for report in reports:
        lines = [line for name, line in getattr(report, "user_properties", ()) if name == TOLD]
        if lines and report.when == "call":
            terminalreporter.section(report.nodeid.partition("::")[2])
            terminalreporter.write("\n".join(lines) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers in the controlling process; parallel workers inherit their addresses."""
    too_slow = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile("rastro", deadline=None, suppress_health_check=too_slow)
    hypothesis.settings.load_profile(
        "rastro"
    )  # how fast a machine is says nothing about what the product does
    if hasattr(config, "workerinput") or config.option.collectonly or _POSTGRES in os.environ:
        return
    root = servers.SHARED_ROOT / "tests" if os.geteuid() == 0 else Path(tempfile.gettempdir())
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    data = Path(tempfile.mkdtemp(prefix="rastro-", dir=root))
    os.chmod(data, 0o755)
    postgres = servers.postgres_program(data / "postgres", durable=False)
    valkey = servers.valkey_program(data / "valkey", durable=False, databases=256)
    with (data / "servers.log").open("ab") as log:
        children = [
            (program, servers.start_child(program, log=log.fileno())) for program in (postgres, valkey)
        ]
    atexit.register(_stop, children, data)
    for program, child in children:
        servers.wait_until_up(program, child, limit=60)
    migrate(_sqlalchemy(postgres.url))
    os.environ[_POSTGRES] = postgres.url
    os.environ[_VALKEY] = valkey.url


def _stop(children: list[tuple[servers.Program, "subprocess.Popen[bytes]"]], data: Path) -> None:
    for program, child in children:
        child.send_signal(signal.SIGQUIT if program.name == "postgres" else signal.SIGKILL)
    for _, child in children:
        child.wait(timeout=20)
    shutil.rmtree(data, ignore_errors=True)


def _sqlalchemy(url: str) -> str:
    return Settings.from_env({"DATABASE_URL": url}).database_url


@pytest.fixture(scope="session")
def worker_number(worker_id: str) -> int:
    """0 for a run in one process, else 1, 2, ... for the parallel test process."""
    return int(worker_id.removeprefix("gw")) + 1 if worker_id.startswith("gw") else 0


@pytest.fixture(scope="session")
def database_url(worker_number: int, pytestconfig: pytest.Config) -> str:
    """A migrated database of this test process alone (the form of the DATABASE_URL setting)."""
    template = os.environ[_POSTGRES]
    name = f"rastro_{pytestconfig.option.redis}_{worker_number}"
    admin = template.replace("/rastro?", "/postgres?")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(1)")  # one clone of the template at a time
        connection.execute(f"drop database if exists {name} with (force)")
        connection.execute(f"create database {name} template {_TEMPLATE}")
    return template.replace("/rastro?", f"/{name}?")


@pytest.fixture(scope="session")
def engine(database_url: str) -> Iterator[Engine]:
    """An engine for this process's database. Tests that write want `db` or `sessions`, which clean first."""
    engine = make_engine(_sqlalchemy(database_url))
    yield engine
    engine.dispose()


@pytest.fixture
def clean_database(engine: Engine) -> None:
    """Empty every table."""
    names = [table.name for table in Base.metadata.sorted_tables]
    with engine.begin() as connection:
        connection.execute(text(f"truncate {', '.join(names)} restart identity cascade"))


@pytest.fixture
def sessions(engine: Engine, clean_database: None) -> sessionmaker[Session]:
    """A session factory over an empty database."""
    return make_sessions(engine)


@pytest.fixture
def db(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """One session over an empty database."""
    with sessions() as session:
        yield session


@pytest.fixture(scope="session")
def redis_url(worker_number: int, pytestconfig: pytest.Config) -> Iterator[str]:
    """This process's Redis database, or its cluster (the form of the REDIS_URL setting)."""
    if pytestconfig.option.redis == "one":
        yield f"{os.environ[_VALKEY]}?db={worker_number}"
        return
    with cluster() as made:
        yield made.url


@pytest.fixture
def valkey(redis_url: str) -> Iterator["redis.Redis"]:
    """A client of this process's Redis database, emptied first; replies are bytes."""
    client = everywhere(redis_url)
    client.flushdb()
    yield client
    client.close()


@pytest.fixture
def environment(database_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    """The environment that a program under test is started with."""
    return {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
        "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": "a-secret-that-only-the-tests-know-and-use",
        "SPOOL_DIR": str(tmp_path / "spool"),
        "LOG_FORMAT": "text",
        "LOGIN_RATE": "0",
        "API_RATE": "0",
        "TZ": "UTC",
    }


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    """Settings over the test servers."""
    return Settings.from_env(environment)
