"""`rastro reconcile` says whether every click is accounted for, and its exit code says it to scripts."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine, insert
from sqlalchemy.orm import Session

from core.contracts import keys
from core.contracts.click_event import hour_name
from core.db.postback_store import store
from core.db.tracking import Books
from core.services.queues.states import moment_of
from tests.core.db.postbacks import postback

ROOT = Path(__file__).resolve().parents[2]


def reconcile(environment: dict[str, str], *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "core.ops", "reconcile", *options]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def clicks(db: Session, valkey: redis.Redis) -> int:
    """Three clicks of this hour, accepted and stored."""
    now = datetime.now(UTC)
    name = hour_name(int(now.timestamp() * 1000))
    valkey.hset(keys.ACCEPTED, name, 3)
    valkey.hset(keys.ANSWERED, keys.answered_field(name, "1-a"), 3)
    hour = now.replace(minute=0, second=0, microsecond=0)
    db.execute(insert(Books).values(hour=hour, shard=2, stored=3))
    db.commit()
    return 3


def test_it_ends_with_0_when_they_balance(environment: dict[str, str], clicks: int) -> None:
    done = reconcile(environment)
    assert done.returncode == 0, done.stderr
    assert "Every click is accounted for." in done.stdout
    assert "3 stored" in done.stdout


def test_it_ends_with_1_when_a_click_is_missing(
    environment: dict[str, str], clicks: int, valkey: redis.Redis
) -> None:
    name = hour_name(int(datetime.now(UTC).timestamp() * 1000))
    valkey.hincrby(keys.ACCEPTED, name, 1)
    done = reconcile(environment, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["state"], found["total"]["missing"]) == (1, "unbalanced", 1)
    (hour,) = found["hours"]
    assert (hour["accepted"], hour["stored"], hour["missing"]) == (4, 3, 1)
    assert datetime.fromisoformat(hour["hour"]) <= moment_of(int(datetime.now(UTC).timestamp() * 1000))


def test_it_ends_with_2_when_they_can_not_be_read(environment: dict[str, str], db: Session) -> None:
    away = {**environment, "REDIS_URL": "unix:///nowhere/none.sock"}
    done = reconcile(away)
    assert (done.returncode, done.stdout) == (2, "")
    assert "can not be read" in done.stderr
    nothing = {name: value for name, value in environment.items() if not name.endswith("_URL")}
    done = reconcile(nothing, "--data", f"{os.devnull}/none")
    assert done.returncode == 2


def test_it_ends_with_1_when_a_postback_is_missing(
    environment: dict[str, str], clicks: int, engine: Engine, valkey: redis.Redis
) -> None:
    now = datetime.now(UTC)
    with engine.begin() as connection:
        store(connection, [postback(0, at=now, subid="x"), postback(0, at=now)], now=now)
    name = hour_name(int(now.timestamp() * 1000))
    valkey.hset(keys.RECEIVED, name, 2)
    done = reconcile(environment)
    assert (done.returncode, "Every postback is accounted for." in done.stdout) == (0, True)
    assert "2 in the inbox" in done.stdout
    valkey.hset(keys.RECEIVED, name, 3)
    done = reconcile(environment, "--json")
    found = json.loads(done.stdout)["postbacks"]
    assert (done.returncode, found["state"], found["missing"]) == (1, "unbalanced", 1)
    assert (found["received"], found["stored"], found["verdicts"]) == (3, 2, {"new": {"": 2}})
    done = reconcile(environment)
    assert "1 missing" in done.stdout
