"""The queues by the API."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta

import pytest
import redis

from core.config import Settings
from core.contracts import keys
from core.services.redis_client import make_redis
from tests.admin_flask.api.conftest import Caller, problem
from tests.admin_flask.conftest import MORNING, MakeApp


def test_it_says_how_every_queue_is(call_as: Callable[[str], Caller], valkey: redis.Redis) -> None:
    added = int((MORNING - timedelta(seconds=4)).timestamp() * 1000)
    valkey.xadd(keys.stream("track"), {"e": b"click"}, id=f"{added}-0")
    valkey.xadd(keys.dead("track"), {"e": b"click"})
    valkey.zadd(keys.later("system"), {b"message": 1})
    answer = call_as("support").get("/queues")
    assert answer.status_code == 200
    queues = {queue.pop("name"): queue for queue in answer.json["queues"]}
    assert list(queues) == ["publish", "conversion", "system", "track"]
    assert queues["track"] == {"waiting": 1, "running": 0, "retrying": 0, "dead": 1, "oldest_s": 4.0}
    assert queues["system"] == {"waiting": 0, "running": 0, "retrying": 1, "dead": 0, "oldest_s": 0.0}


@pytest.mark.parametrize(("role", "status"), [("admin", 200), ("marketer", 403), ("viewer", 403)])
def test_it_needs_a_key_that_may_look(call_as: Callable[[str], Caller], role: str, status: int) -> None:
    assert call_as(role).get("/queues").status_code == status


def test_it_needs_a_key(call_as: Callable[[str], Caller]) -> None:
    caller = dataclasses.replace(call_as("admin"), key="")
    assert caller.get("/queues").status_code == 401


def test_it_says_when_redis_is_away(
    call_as: Callable[[str], Caller], settings: Settings, make_app: MakeApp, tmp_path: object
) -> None:
    caller = call_as("admin")
    app = make_app(settings, redis=make_redis(f"unix://{tmp_path}/none.sock"))
    away = Caller(app.test_client(), caller.base_url, caller.key)
    answer = away.get("/queues")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "Redis" in problem(answer)["detail"]
