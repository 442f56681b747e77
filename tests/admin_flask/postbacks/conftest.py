"""An inbox to look at: a shop, the click that it names, and postbacks with every outcome."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from core.db.clicks import store_batch
from core.db.conversions import ConversionSource
from core.services import domains, links
from core.services.actor import COMMAND
from tests.admin_flask.conftest import MORNING
from tests.core.db.samples import click, click_id, new_store
from tests.core.services import inbox

_TAIL = (2 << 62) + 77


@pytest.fixture
def shop(db: Session) -> ConversionSource:
    """A shop that sends postbacks."""
    return inbox.source(db)


@pytest.fixture
def clicked(db: Session, engine: Engine) -> UUID:
    """The id of a click of 9 minutes ago on the link “Smart TV 4K”."""
    domains.add_domain(db, host="go.aroeira.example", actor=COMMAND, now=MORNING)
    link = links.create_link(
        db, url="https://shop.example/tv", slug="bf-tv", title="Smart TV 4K", actor=COMMAND, now=MORNING
    )
    at = MORNING - timedelta(minutes=9)
    store_batch(new_store(engine), [click(at, tail=_TAIL, link_id=link.id)], now=MORNING)
    return UUID(bytes=click_id(at, _TAIL))
