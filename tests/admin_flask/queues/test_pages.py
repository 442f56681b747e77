"""The pages of the queues: what they show, to whom, and when Redis is away."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import redis
from sqlalchemy import Engine, insert
from sqlalchemy.orm import Session

from core.config import Settings
from core.contracts import keys
from core.db.tracking import Books
from core.services.redis_client import make_redis
from tasks.schedule import claim_due
from tasks.streams import StreamStorage
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MORNING, MakeApp
from tests.core.services.queues.conftest import Bury, click, task

Sit = Callable[..., Browser]
PAGES = ["/queues", "/queues/live", "/queues/entries", "/queues/books", "/queues/schedule", "/queues/alerts"]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    ("role", "status"), [("admin", 200), ("support", 200), ("marketer", 403), ("viewer", 403)]
)
def test_it_shows_them_to_admins_and_support(sit_down: Sit, path: str, role: str, status: int) -> None:
    assert sit_down(role).get(path).status_code == status


@pytest.mark.parametrize("path", PAGES)
def test_it_asks_strangers_to_sign_in(browser: Browser, path: str) -> None:
    assert browser.get(path).status_code == 303


def test_it_shows_empty_queues(sit_down: Sit) -> None:
    page = sit_down().get("/queues").text
    assert "No worker runs." in page
    assert "Nothing failed in the last seven days." in page
    assert "Every click is accounted for" in page
