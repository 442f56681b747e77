"""People, keys, domains and the check, as they are typed on a server with its own PostgreSQL and Redis."""

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.contracts import keys
from core.db.conversions import Conversion, ConversionSource, ExchangeRate
from core.domain.sources import SourceSettings, stored
from core.ops import check
from core.ops.external import PostgresFacts, RedisFacts, postgres_fault, redis_fault
from core.services import accounts, conversion_sources
from tests.ops.conftest import ROOT, Up

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(environment: dict[str, str], sessions: sessionmaker[Session], valkey: "redis.Redis[Any]") -> Run:
    """Runs `rastro WORDS` on the test servers, emptied first."""

    def call(*words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, str(ROOT / "rastro"), *words],
            env={**environment, "RASTRO_NO_VENV": "1", **environ},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return call


def test_it_creates_a_person_who_can_sign_in(run: Run, sessions: sessionmaker[Session]) -> None:
    done = run("user", "create", "Ana@Example.com", "--name", "Ana Souza", "--role", "marketer")
    assert done.returncode == 0
    password = done.stdout.strip()
    with sessions() as session:
        user = accounts.authenticate(session, email="ana@example.com", password=password)
        assert user is not None
        assert (user.name, user.role) == ("Ana Souza", "marketer")


def test_it_resets_a_password(run: Run, sessions: sessionmaker[Session]) -> None:
    first = run("user", "create", "ana@example.com").stdout.strip()
    second = run("user", "reset", "ana@example.com").stdout.strip()
    with sessions() as session:
        assert accounts.authenticate(session, email="ana@example.com", password=first) is None
        assert accounts.authenticate(session, email="ana@example.com", password=second) is not None


def test_it_prints_the_postback_url_of_a_new_source_alone(
    run: Run, sessions: sessionmaker[Session], valkey: "redis.Redis[Any]"
) -> None:
    made = run("source", "create", "--name", "Rede K", "--preset", "keitaro")
    assert made.returncode == 0, made.stderr
    url = re.fullmatch(
        r"http://127\.0\.0\.1:8080/postback/(pb_[a-z2-7]{26})\?subid=\{external_id\}&status=\{status\}\S+\n",
        made.stdout,
    )
    assert url
    with sessions() as session:
        row = conversion_sources.get_source(session, source_id=1)
        assert (row.name, row.preset) == ("Rede K", "keitaro")
        assert row.tokens[0].hint == f"{url[1][:5]}…{url[1][-4:]}"
    assert valkey.exists(keys.SOURCES)
    again = run("source", "create", "--name", "Rede K")
    assert again.returncode == 1
    assert "one of your sources already" in again.stderr
    assert (
        "A preset is one of plain, keitaro" in run("source", "create", "--name", "x", "--preset", "y").stderr
    )


def test_it_prints_the_key_alone(run: Run, sessions: sessionmaker[Session]) -> None:
    done = run("key", "create", "--name", "Shop", "--role", "support")
    assert (done.returncode, done.stderr) == (0, "")
    with sessions() as session:
        key = accounts.key_for(session, plain=done.stdout.removesuffix("\n"), now=datetime.now(UTC))
        assert key is not None
        assert (key.name, key.role) == ("Shop", "support")


def test_it_revokes_a_key_that_it_lists(run: Run, sessions: sessionmaker[Session]) -> None:
    old, new = (
        run("key", "create", "--name", name, "--role", "viewer").stdout.strip() for name in ("Old", "New")
    )
    (row,) = [line for line in run("key", "list").stdout.splitlines() if line.endswith("Old")]
    assert old[:8] in row and "never used" in row and old not in row
    assert run("key", "revoke", row.split()[0]).returncode == 0
    assert [line.split()[-1] for line in run("key", "list").stdout.splitlines()] == ["New"]
    with sessions() as session:
        assert accounts.key_for(session, plain=old, now=datetime.now(UTC)) is None
        assert accounts.key_for(session, plain=new, now=datetime.now(UTC)) is not None


def test_it_adds_a_domain_that_trackers_know_at_once(run: Run, valkey: "redis.Redis[Any]") -> None:
    done = run("domain", "add", "Go.Example.com")
    assert (done.returncode, done.stderr) == (0, "")
    assert "go.example.com" in done.stdout
    assert valkey.exists(keys.domain("go.example.com"))


@pytest.mark.parametrize(
    ("before", "words", "said"),
    [
        (["user", "create", "ana@example.com"], ["user", "create", "ana@example.com"], "ana@example.com"),
        (None, ["user", "create", "not an address"], "e-mail"),
        (None, ["user", "reset", "nobody@example.com"], "Nobody has the e-mail nobody@example.com"),
        (None, ["key", "create", "--name", " ", "--role", "viewer"], "what the key is for"),
        (None, ["key", "revoke", "12"], "There is no key 12"),
        (["domain", "add", "go.example.com"], ["domain", "add", "GO.example.com"], "was added before"),
        (None, ["domain", "add", "http://go.example.com/x"], "Leave out"),
    ],
)
def test_it_says_in_one_line_what_it_can_not_do(
    run: Run, before: list[str] | None, words: list[str], said: str
) -> None:
    if before:
        assert run(*before).returncode == 0
    done = run(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("key", "said"), [("", "no secret key"), ("k" * 32, "files and the secret key")])
def test_it_says_whether_a_backup_holds_the_secret_key(run: Run, tmp_path: Path, key: str, said: str) -> None:
    done = run("backup", str(tmp_path / "rastro.backup"), SECRET_KEY=key)
    assert (done.returncode, done.stderr) == (0, "")
    assert said in done.stdout


def test_it_migrates_without_redis(run: Run) -> None:
    done = run("migrate", REDIS_URL="")
    assert (done.returncode, done.stderr) == (0, "")
    assert "revision" in done.stdout


def test_it_publishes_everything_again(run: Run, valkey: "redis.Redis[Any]") -> None:
    assert run("domain", "add", "go.example.com").returncode == 0
    valkey.flushdb()
    assert run("republish").returncode == 0
    assert valkey.exists(keys.SNAPSHOTS_READY, keys.domain("go.example.com")) == 2


def test_it_says_where_to_look_when_nothing_runs(run: Run, tmp_path: Path) -> None:
    data = str(tmp_path / "nowhere")
    done = run("user", "reset", "a@example.com", "--data", data, DATABASE_URL="")
    assert done.returncode == 1
    assert f"No Rastro runs on {data}" in done.stderr
    assert not os.path.exists(data)


def findings(environment: dict[str, str], **environ: str) -> dict[str, check.Finding]:
    return {finding.what: finding for finding in check.look({**environment, **environ})}


def test_it_finds_nothing_wrong_with_a_running_installation(up: Up) -> None:
    done = up.run("check")
    assert done.returncode == 0, done.stdout
    for line in (
        "ok    PostgreSQL",
        "ok    tables",
        "ok    Redis ",
        "ok    links in Redis",
        "ok    spool",
        "warn  mail",
    ):
        assert line in done.stdout


def test_it_refuses_a_redis_that_throws_clicks_away(up: Up) -> None:
    with redis.Redis.from_url(up.ready["redis_url"]) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        done = up.run("check")
        client.config_set("maxmemory-policy", "noeviction")
    assert done.returncode == 1
    assert "fail  Redis" in done.stdout
    assert "Set maxmemory-policy to noeviction" in done.stdout


@pytest.mark.usefixtures("sessions", "valkey")
@pytest.mark.parametrize(
    ("environ", "what", "state", "said"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY", "fail", "is not set"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY", "fail", "is not set"),
        ({"DATABASE_URL": ""}, "PostgreSQL", "fail", "DATABASE_URL is not set"),
        ({"DATABASE_URL": "postgresql://u@127.0.0.1:9/d"}, "PostgreSQL", "fail", "does not answer"),
        ({"DATABASE_REPLICA_URL": "postgresql://u@127.0.0.1:9/d"}, "replica", "warn", "can not be asked"),
        ({"REDIS_URL": "redis://127.0.0.1:9"}, "Redis", "fail", "does not answer"),
        ({}, "Redis on disk", "warn", "append-only file is off"),
        ({}, "links in Redis", "warn", "never published"),
        ({}, "tables", "ok", "as this release wants"),
        ({"SMTP_URL": "smtp://127.0.0.1:9"}, "mail", "fail", "127.0.0.1 does not take mail"),
        ({"SENTRY_DSN": "https://sentry.example"}, "error reports", "fail", "SENTRY_DSN is no DSN"),
        ({"SPOOL_DIR": "/proc/spool"}, "spool", "fail", "/proc/spool can not be written"),
        ({"SPOOL_MAX_MB": "1000000"}, "spool", "warn", "MB free"),
        ({"ADMIN_URL": "http://rastro.example"}, "ADMIN_URL", "warn", "not encrypted"),
        ({"TRACKER_URL": "https://go.example"}, "TRACKER_URL", "warn", "TRUSTED_PROXIES is empty"),
        (
            {"TRACKER_URL": "https://go.example", "TRUSTED_PROXIES": "1"},
            "TRACKER_URL",
            "ok",
            "https://go.example",
        ),
    ],
)
def test_it_finds(
    environment: dict[str, str], environ: dict[str, str], what: str, state: str, said: str
) -> None:
    found = findings(environment, **environ)[what]
    assert found.state == state
    assert said in found.found


def test_it_finds_currencies_that_no_report_can_count(
    environment: dict[str, str], db: Session, valkey: "redis.Redis[Any]"
) -> None:
    assert "exchange rates" not in findings(environment)
    for name, currency in (("Loja", "BRL"), ("Rede", "BRL"), ("Awin", "EUR"), ("Here", "USD"), ("Any", "")):
        settings = stored(SourceSettings(currency=currency))
        db.add(ConversionSource(name=name, preset="plain", settings=settings))
    db.add(ExchangeRate(currency="EUR", day=date(2026, 1, 1), rate=Decimal("1.08")))
    db.commit()
    found = findings(environment)["exchange rates"]
    assert (found.state, found.found) == ("warn", "no rate of BRL; sent by Loja, Rede")
    db.add(ExchangeRate(currency="BRL", day=date(2026, 1, 1), rate=Decimal("0.18")))
    db.commit()
    found = findings(environment)["exchange rates"]
    assert (found.state, found.found) == ("ok", "known for BRL, EUR")
    source = db.scalars(select(ConversionSource)).first()
    db.add(
        Conversion(
            source_id=source.id if source else 0,
            ref_click=uuid.UUID(int=0),
            transaction_id="A-1",
            status="approved",
            currency="CLP",
            at=datetime(2026, 11, 1, tzinfo=UTC),
        )
    )
    db.commit()
    found = findings(environment)["exchange rates"]
    assert (found.state, found.found) == ("warn", "no rate of CLP; conversions that are in no report: 1")


def test_it_names_every_bad_setting_and_not_only_the_first(environment: dict[str, str]) -> None:
    found = findings(environment, TZ_DEFAULT="Mars", LOGIN_RATE="many", DATABASE_URL="", REDIS_URL="")
    assert {what for what, finding in found.items() if finding.state == "fail"} >= {
        "TZ_DEFAULT",
        "LOGIN_RATE",
    }


@pytest.mark.parametrize(("major", "fits"), [(14, False), (15, True), (18, True)])
def test_it_needs_postgresql_15(major: int, fits: bool) -> None:
    assert (postgres_fault(PostgresFacts(f"{major}.1", major)) is None) is fits


@pytest.mark.parametrize(
    ("name", "version", "policy", "said"),
    [
        ("Redis", "6.2.5", "noeviction", "too old"),
        ("Redis", "7.0.0", "noeviction", None),
        ("Valkey", "9.1.2", "unknown", None),
        ("Valkey", "8.0.0", "allkeys-lru", "throw clicks away"),
        ("Redis", "7.2.0", "volatile-ttl", "throw clicks away"),
    ],
)
def test_it_needs_a_redis_that_keeps_what_it_takes(
    name: str, version: str, policy: str, said: str | None
) -> None:
    fault = redis_fault(RedisFacts(name, version, int(version.split(".")[0]), policy, keeps_on_disk=True))
    assert fault is None if said is None else said in str(fault)
