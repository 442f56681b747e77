"""The task that judges a source's postbacks again goes on until it has ended, in more than one message."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from redis import Redis
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from core.config import Settings
from core.db.clicks import store_batch
from core.db.conversions import PostbackReplay
from core.db.work import Outbox
from core.domain.conversions import NO_CLICK
from core.services import postback_replay as service
from core.services.actor import COMMAND
from tasks import postback_replays
from tasks.registry import REGISTRY, Context
from tests.core.db.samples import click, click_id, new_store
from tests.core.services.inbox import SETTINGS, postback, source

_TAIL = (2 << 62) + 77


def test_it_goes_on_in_another_message_until_it_has_ended(
    db: Session, engine: Engine, settings: Settings, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    store_batch(new_store(engine), [click(now - timedelta(hours=1), tail=_TAIL)], now=now)
    clicked = UUID(bytes=click_id(now - timedelta(hours=1), _TAIL))
    shop = source(db)
    for n in range(5):
        query = f"subid={clicked}&valor=10&pedido=A-{n}&status=aprovado"
        at = now - timedelta(minutes=30)
        postback(db, query, at=at, of=shop, verdict=NO_CLICK, why={"code": "unknown_click"})
    started = service.save_and_replay(
        db, source_id=shop.id, version=1, settings=SETTINGS, days=1, actor=COMMAND, now=now
    )
    monkeypatch.setattr(service, "BATCH", 2)
    monkeypatch.setattr(postback_replays, "LONGEST_S", -1.0)
    context = Context(settings=settings, engine=engine, redis=valkey)
    run = REGISTRY.tasks[service.TASK].run
    for messages in (2, 3, 3, 3):  # the last one ends it, and one that came twice does nothing
        run(context, started.id)
        db.expire_all()
        assert len(db.scalars(select(Outbox).where(Outbox.task == service.TASK)).all()) == messages
    replay = db.get_one(PostbackReplay, started.id)
    assert (replay.done, replay.changed, replay.finished_at is not None) == (5, 5, True)
