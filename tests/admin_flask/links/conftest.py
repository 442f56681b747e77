"""Links to look at, and clicks on them, stored as real ones are."""

import random
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from core.db.clicks import ClickStore, PreparedClick, store_batch
from core.db.models import Domain, Link
from core.services import domains, links
from core.services.actor import COMMAND
from tests.admin_flask.conftest import MORNING

MakeLink = Callable[..., Link]
Click = Callable[..., None]


@pytest.fixture
def domain(db: Session) -> Domain:
    """The default domain, aroeira.example."""
    return domains.add_domain(db, host="aroeira.example", actor=COMMAND, now=MORNING)


@pytest.fixture
def make_link(db: Session, domain: Domain) -> MakeLink:
    """Make a link: `make_link("bf-tv", title="Smart TV 4K")`."""

    def make(slug: str = "", *, url: str = "https://loja.example/ofertas", **fields: object) -> Link:
        at = fields.pop("at", MORNING)
        actor = fields.pop("actor", COMMAND)
        return links.create_link(db, url=url, slug=slug, actor=actor, now=at, **fields)  # type: ignore[arg-type]

    return make


@pytest.fixture
def click(engine: Engine, db: Session) -> Click:
    """Store clicks of a link: `click(link, at, bot_reason="agent")`."""
    store = ClickStore(engine, zone=ZoneInfo("UTC"), owner="tests", shards=1)
    rng = random.Random(1)

    def store_clicks(link: Link, *times: datetime, **facts: object) -> None:
        clicks = [
            PreparedClick(
                id=_click_id(at, rng),
                link_id=link.id,
                **{"visitor": rng.getrandbits(40), "device": "mobile", "country": "BR", **facts},  # type: ignore[arg-type]
            )
            for at in times
        ]
        done = store_batch(store, clicks, now=max(times))
        assert done.stored == len(clicks)

    return store_clicks


def _click_id(at: datetime, rng: random.Random) -> bytes:
    ms = round(at.timestamp() * 1000)
    return ms.to_bytes(6, "big") + b"\x70" + rng.randbytes(1) + b"\x80" + rng.randbytes(7)
