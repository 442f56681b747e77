"""What tests of services share: a moment, people who act, a default domain, and a Redis that is away."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from redis import Redis
from sqlalchemy.orm import Session

from core.db.models import Domain
from core.services import domains
from core.services.actor import COMMAND, Actor
from core.services.redis_client import make_redis

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def actor() -> Actor:
    return Actor(kind="key", id=3, name="Shop", role="marketer", ip="192.0.2.7")


@pytest.fixture
def domain(db: Session) -> Domain:
    """go.example.com, the default."""
    return domains.add_domain(db, host="go.example.com", actor=COMMAND, now=NOW)


@pytest.fixture
def away(tmp_path: object) -> Iterator[Redis]:
    """A client of a Redis that is not there."""
    client = make_redis(f"unix://{tmp_path}/nothing.sock")
    yield client
    client.close()
