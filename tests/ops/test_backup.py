"""Backup and restore: everything comes back, queued clicks too, and nothing is half restored."""

import io
import json
import stat
import subprocess
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from core.config import Settings
from core.contracts import keys, source_snapshot
from core.db.engine import make_engine
from core.db.models import User
from core.ops import backup
from core.ops.connect import servers
from core.services.actor import COMMAND
from core.services.conversion_sources import make_source
from tests.ops.conftest import ROOT, Up


@pytest.fixture
def file(
    sessions: sessionmaker[Session], valkey: "redis.Redis[Any]", settings: Settings, tmp_path: Path
) -> Path:
    """A backup with a person, a source, a queued click, a later message, a dead letter and spool files."""
    with sessions() as session:
        session.add(user("ana@example.com"))
        make_source(session, name="Loja", preset="plain", actor=COMMAND, now=datetime.now(UTC))
        session.commit()
    for number in range(2500):  # more than one page
        valkey.xadd(keys.stream("track"), {keys.EVENT_FIELD: b"\x00\xff click %d" % number})
    valkey.xadd(keys.dead("track"), {keys.EVENT_FIELD: b"poison", b"reason": b"content"}, id="7-7")
    valkey.zadd(keys.later("system"), {b"\x93 message": 1_800_000_000_123})
    valkey.hset(keys.ACCEPTED, "2026112314", 2501)
    valkey.hset(keys.ANSWERED, "2026112314:7-one", 2500)
    valkey.hset(keys.RECEIVED, "2026112314", 40)
    settings.spool_dir.mkdir(parents=True)
    (settings.spool_dir / "one.spool").write_bytes(b"\x01 spooled")
    settings.postback_spool_dir.mkdir()
    (settings.postback_spool_dir / "one.spool").write_bytes(b"\x02 spooled")
    (settings.spool_dir / "7-one.answered").write_bytes(bytes(4096))
    target = tmp_path / "rastro.backup"
    assert backup.write_backup(settings, target) == {"queued": 2501, "spooled": 2}
    return target


def user(email: str) -> User:
    return User(email=email, name="Ana", role="viewer", password_hash="x", created_at=datetime.now(UTC))


def restore(up: Up, file: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return up.run("restore", str(file), *words)


def emails(settings: Settings) -> list[str]:
    engine = make_engine(settings.database_url)
    with engine.connect() as connection:
        found = list(connection.scalars(text("select email from users order by id")))
    engine.dispose()
    return found


def test_it_brings_back_everything(file: Path, place: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    up = Up(place / "var")
    done = restore(up, file)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2501 entries of the queues and 2 spool files" in done.stdout
    with servers(up.data) as settings, redis.Redis.from_url(settings.redis_url) as client:
        assert emails(settings) == ["ana@example.com"]
        assert client.xlen(keys.stream("track")) == 2500
        last: Any = client.xrevrange(keys.stream("track"), count=1)
        assert last[0][1] == {keys.EVENT_FIELD: b"\x00\xff click 2499"}
        assert client.xrange(keys.dead("track")) == [
            (b"7-7", {keys.EVENT_FIELD: b"poison", b"reason": b"content"})
        ]
        assert client.zrange(keys.later("system"), 0, -1, withscores=True) == [
            (b"\x93 message", 1_800_000_000_123)
        ]
        assert client.hgetall(keys.ACCEPTED) == {b"2026112314": b"2501"}
        assert client.hgetall(keys.ANSWERED) == {b"2026112314:7-one": b"2500"}
        assert client.hgetall(keys.RECEIVED) == {b"2026112314": b"40"}
        assert client.exists(keys.SNAPSHOTS_READY)
        stands: Any = client.get(keys.SOURCES)
        (known,) = source_snapshot.decode(stands).sources
        assert len(known.tokens) == 1
        assert settings.secret_key == "a-secret-that-only-the-tests-know-and-use"
        assert [path.read_bytes() for path in settings.spool_dir.glob("*.*")] == [b"\x01 spooled"]
        assert [path.read_bytes() for path in settings.postback_spool_dir.iterdir()] == [b"\x02 spooled"]


def test_it_replaces_an_installation_only_when_told_to(file: Path, place: Path) -> None:
    up = Up(place / "var")
    assert restore(up, file).returncode == 0
    add_to(up, "later@example.com")
    refused = restore(up, file)
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    with servers(up.data) as settings:
        assert emails(settings) == ["ana@example.com", "later@example.com"]
    assert restore(up, file, "--force").returncode == 0
    with servers(up.data) as settings, redis.Redis.from_url(settings.redis_url) as client:
        assert emails(settings) == ["ana@example.com"]
        assert client.xlen(keys.stream("track")) == 2500


def add_to(up: Up, email: str) -> None:
    with servers(up.data) as settings:
        engine = make_engine(settings.database_url)
        with Session(engine) as session:
            session.add(user(email))
            session.commit()
        engine.dispose()


def test_it_changes_nothing_when_the_database_in_the_file_is_broken(file: Path, place: Path) -> None:
    up = Up(place / "var")
    assert restore(up, file).returncode == 0
    broken = place / "broken"
    with tarfile.open(file) as source, tarfile.open(broken, "w") as target:
        for entry in source.getmembers():
            data = source.extractfile(entry)
            assert data is not None
            content = data.read()
            if entry.name == backup.DATABASE:
                content = content[: len(content) // 2]
                entry.size = len(content)
            target.addfile(entry, io.BytesIO(content))
    done = restore(up, broken, "--force")
    assert done.returncode == 1
    assert "could not be restored; nothing was changed" in done.stderr
    with servers(up.data) as settings:
        assert emails(settings) == ["ana@example.com"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no archive at all", "can not be read"),
        (None, "not a backup of Rastro"),
        ([1], "not a backup of Rastro"),
        (7, "not a backup of Rastro"),
        ({"format": 1, "revision": "9999_from_the_future"}, "newer release"),
        ({"format": 2, "revision": None}, "newer release"),
    ],
)
def test_it_refuses_a_file_that_it_can_not_restore(place: Path, content: object, said: str) -> None:
    path = place / "file"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        data = json.dumps(content or {}).encode()
        with tarfile.open(path, "w") as archive:
            entry = tarfile.TarInfo(backup.MANIFEST if content else "something-else")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    done = restore(Up(place / "var"), path)
    assert done.returncode == 1
    assert said in done.stderr
    assert not (place / "var").exists()


def test_it_saves_while_everything_runs_and_refuses_to_restore_over_it(up: Up, tmp_path: Path) -> None:
    target = tmp_path / "running.backup"
    done = up.run("backup", str(target))
    assert (done.returncode, done.stderr) == (0, "")
    assert "keep it where only you can read it" in done.stdout
    with tarfile.open(target) as archive:
        assert {backup.MANIFEST, backup.SECRET, backup.QUEUES, backup.DATABASE} <= set(archive.getnames())
    refused = restore(up, target, "--force")
    assert refused.returncode == 1
    assert "Stop it first" in refused.stderr


def test_it_leaves_no_half_a_file_when_the_database_can_not_be_read(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "rastro"), "backup", str(tmp_path / "file")],
        env={
            "PATH": "/usr/bin:/bin",
            "RASTRO_NO_VENV": "1",
            "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
            "REDIS_URL": "redis://127.0.0.1:9",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "PostgreSQL does not answer" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_it_wants_the_name_of_a_file(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "rastro"), "backup", str(tmp_path)],
        env={"PATH": "/usr/bin:/bin", "RASTRO_NO_VENV": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "is a folder. Name a file in it." in done.stderr
