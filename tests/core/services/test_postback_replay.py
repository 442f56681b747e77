"""Replays: one postback, and all of a source after its fields were changed; as a trial nothing is changed."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session, sessionmaker

from core.db.clicks import store_batch
from core.db.conversions import Conversion, ConversionSource, Postback, PostbackReplay
from core.db.models import AuditLog
from core.db.work import Outbox
from core.domain.conversions import CONVERSION, NO_CLICK, UNREADABLE
from core.domain.sources import SourceSettings
from core.services import postback_replay as replays
from core.services import postback_trial
from core.services.actor import Actor
from core.services.conversion_sources import StaleSource
from core.services.postback_trial import Trial, try_settings
from tests.core.db.samples import NOW, click, click_id, new_store
from tests.core.services.inbox import SETTINGS, postback, source

SUPPORT = Actor(kind="user", id=None, name="Rita", role="support")
CLICK = UUID(bytes=click_id(NOW - timedelta(hours=3), (2 << 62) + 77))
OTHER_FIELDS = msgspec.structs.replace(SETTINGS, fields={**SETTINGS.fields, "click_id": ("subid", "aff_sub")})
"""The same source, but a click id may come in `aff_sub`, too."""

_orders = itertools.count(1)


@pytest.fixture
def clicks(db: Session, engine: Engine) -> None:
    """The click that all postbacks name is stored."""
    store_batch(new_store(engine), [click(NOW - timedelta(hours=3), tail=(2 << 62) + 77)], now=NOW)


def lost(
    db: Session, shop: ConversionSource, *, ago: timedelta = timedelta(hours=1), order: str = ""
) -> UUID:
    """A postback whose click id came under a name that nobody looked at."""
    order = order or f"A-{next(_orders)}"
    query = f"aff_sub={CLICK}&valor=10,50&pedido={order}&status=aprovado"
    return postback(db, query, at=NOW - ago, of=shop, verdict=NO_CLICK, why={"code": "no_click_id"})


def try_on(engine: Engine, shop: ConversionSource, settings: SourceSettings, **kwargs: object) -> Trial:
    """A trial over the last day."""
    return try_settings(
        engine,
        source=shop,
        settings=settings,
        since=NOW - timedelta(days=1),
        now=NOW,
        report_currency="BRL",
        **kwargs,  # type: ignore[arg-type]
    )


def state(db: Session) -> tuple[int, list[tuple[str, str]]]:
    """How many conversions there are, and the verdicts."""
    db.rollback()
    rows = db.execute(select(Postback.transaction_id, Postback.verdict).order_by(Postback.id)).all()
    return db.scalar(select(func.count()).select_from(Conversion)) or 0, [tuple(row) for row in rows]


def replay(db: Session, id: UUID) -> str:
    """Replay one; its verdict."""
    _, done = replays.replay_postback(db, id, actor=SUPPORT, now=NOW, report_currency="BRL")
    return done.verdict


@pytest.mark.usefixtures("clicks")
def test_it_says_what_a_replay_would_do_and_does_nothing(db: Session) -> None:
    shop = source(db, settings=OTHER_FIELDS)
    id = lost(db, shop)
    before = state(db)
    row, would = replays.preview_postback(db, id, now=NOW, report_currency="BRL")
    assert (row.verdict, would.verdict, would.changed, would.before) == (NO_CLICK, CONVERSION, True, {})
    assert Decimal(would.after["revenue"]) == Decimal("10.50")
    assert state(db) == before


@pytest.mark.usefixtures("clicks")
def test_it_replays_once_however_often(db: Session) -> None:
    shop = source(db, settings=OTHER_FIELDS)
    id = lost(db, shop)
    assert [replay(db, id) for _ in range(3)] == [CONVERSION] * 3
    assert state(db)[0] == 1
    _, would = replays.preview_postback(db, id, now=NOW, report_currency="BRL")
    assert not would.changed
    audited = db.scalars(select(AuditLog.detail).where(AuditLog.action == "postback.replay")).all()
    assert audited[0] == {"before": NO_CLICK, "after": CONVERSION, "changed": True}
    assert len(audited) == 3


@pytest.mark.usefixtures("clicks")
def test_it_makes_one_conversion_when_many_press_at_once(
    db: Session, sessions: sessionmaker[Session]
) -> None:
    id = lost(db, source(db, settings=OTHER_FIELDS))

    def press(_: int) -> str:
        with sessions() as session:
            return replay(session, id)

    with ThreadPoolExecutor(5) as people:
        assert set(people.map(press, range(5))) == {CONVERSION}
    assert state(db)[0] == 1


def test_it_replays_nothing_that_the_door_refused_or_whose_source_is_gone(db: Session) -> None:
    refused = postback(db, "subid=1", at=NOW, of=source(db), refused="signature")
    orphan = postback(db, "subid=1", at=NOW, verdict=NO_CLICK)
    for id in (refused, orphan, UUID(int=7)):
        with pytest.raises(replays.NotReplayed):
            replay(db, id)
        with pytest.raises(replays.NotReplayed):
            replays.preview_postback(db, id, now=NOW, report_currency="BRL")


@pytest.mark.usefixtures("clicks")
@pytest.mark.parametrize("batch", [2, 500])
def test_it_shows_what_other_fields_would_change(
    db: Session, engine: Engine, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(postback_trial, "BATCH", batch)
    shop = source(db)
    for order in ("A", "B", "A"):  # the last says the same as the first
        lost(db, shop, order=order)
    lost(db, shop, ago=timedelta(days=2))  # too long ago
    lost(db, source(db, "Another shop"))
    postback(
        db, "valor=x&pedido=C", at=NOW, of=shop, verdict=UNREADABLE, why={"code": "bad_amount", "value": "x"}
    )
    before = state(db)
    found = try_on(engine, shop, OTHER_FIELDS)
    assert (found.tried, found.differing, found.cut) == (4, 3, False)
    assert dict(found.changes) == {("no_click", "conversion"): 2, ("no_click", "repeated"): 1}
    assert found.money == {"BRL": Decimal(21)}
    assert [row.order for row in found.rows] == ["A", "B", "A"]
    assert state(db) == before


@pytest.mark.usefixtures("clicks")
def test_it_judges_only_what_may_differ(db: Session, engine: Engine) -> None:
    shop = source(db)
    ids = [lost(db, shop) for _ in range(2)]
    shop.settings = {**shop.settings, "fields": {**SETTINGS.fields, "click_id": ["aff_sub"]}}
    shop.updated_at = NOW - timedelta(minutes=5)
    db.commit()
    for id in ids:
        replay(db, id)
    same = try_on(engine, shop, postback_trial.settings_of(shop.settings))
    assert (same.tried, same.same) == (2, 2)
    without = msgspec.structs.replace(SETTINGS, fields={**SETTINGS.fields, "click_id": ("nothing",)})
    found = try_on(engine, shop, without)
    assert (found.differing, found.money) == (2, {"BRL": Decimal(-21)})


@pytest.mark.usefixtures("clicks")
def test_it_says_when_a_trial_was_cut(db: Session, engine: Engine) -> None:
    shop = source(db)
    ids = [lost(db, shop, ago=timedelta(hours=5 - n)) for n in range(3)]
    found = try_on(engine, shop, OTHER_FIELDS, most=2)
    assert (found.tried, found.cut) == (2, True)
    assert [row.id for row in found.rows] == ids[1:]  # the newest, from the older on
    times = iter([0.0, 100.0])
    assert try_on(engine, shop, OTHER_FIELDS, clock=lambda: next(times)).cut


@pytest.mark.usefixtures("clicks")
def test_it_saves_the_fields_and_replays_all(
    db: Session, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replays, "BATCH", 2)
    shop = source(db)
    for _ in range(5):
        lost(db, shop)
    lost(db, shop, ago=timedelta(days=20))
    other = source(db, "Another shop", settings=OTHER_FIELDS)
    lost(db, other)
    started = replays.save_and_replay(
        db, source_id=shop.id, version=1, settings=OTHER_FIELDS, days=7, actor=SUPPORT, now=NOW
    )
    assert (started.total, started.done) == (5, 0)
    (task,) = db.scalars(select(Outbox).where(Outbox.task == replays.TASK)).all()
    assert (task.queue, task.args) == ("system", [started.id])
    go_on: Callable[[], bool] = lambda: replays.go_on(  # noqa: E731
        engine, started.id, now=NOW, report_currency="BRL"
    )
    assert [go_on() for _ in range(4)] == [True, True, False, False]
    db.expire_all()
    done = db.get_one(PostbackReplay, started.id)
    assert (done.done, done.changed, done.outcome) == (5, 5, {"no_click conversion": 5})
    count, verdicts = state(db)
    assert count == 5
    assert [verdict for _, verdict in verdicts].count(NO_CLICK) == 2
    actions = db.scalars(select(AuditLog.action).order_by(AuditLog.id)).all()
    assert actions == ["source.edit", "source.replay", "source.replayed"]


@pytest.mark.usefixtures("clicks")
def test_it_saves_nothing_over_somebody_elses_change_or_while_a_replay_runs(db: Session) -> None:
    shop = source(db)

    def save(version: int, now: datetime = NOW) -> PostbackReplay:
        return replays.save_and_replay(
            db, source_id=shop.id, version=version, settings=OTHER_FIELDS, days=1, actor=SUPPORT, now=now
        )

    with pytest.raises(StaleSource):
        save(7)
    save(1)
    with pytest.raises(replays.ReplayRuns):
        save(2)
    assert db.scalar(select(func.count()).select_from(PostbackReplay)) == 1
    save(2, NOW + replays.GIVEN_UP)  # the first lies among the failures by now
