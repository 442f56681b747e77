"""Sources of conversions: made, changed, switched, their tokens and keys rotated; what the tracker then knows."""

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from redis import Redis
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session, sessionmaker

from core.contracts import keys, source_snapshot
from core.contracts.snapshot import revision_of
from core.contracts.source_snapshot import Signature, SourceSnapshot, SourcesSnapshot
from core.db.conversions import Conversion, ConversionSource, SourceTest, SourceToken
from core.db.models import AuditLog, Campaign
from core.db.work import Outbox
from core.domain.presets import PRESETS
from core.domain.sources import SignatureSettings, SourceSettings, settings_of
from core.services import conversion_sources as service
from core.services import publishing
from core.services.actor import Actor

Make = Callable[..., service.Made]


@pytest.fixture
def now() -> datetime:
    """Of the database's clock: tokens end by it."""
    return datetime.now(UTC)


@pytest.fixture
def make(db: Session, valkey: Redis, actor: Actor, now: datetime) -> Make:
    """Make a source, published."""

    def made(name: str = "Loja online", preset: str = "plain") -> service.Made:
        return service.make_source(db, name=name, preset=preset, actor=actor, now=now, redis=valkey)

    return made


def published(valkey: Redis) -> SourcesSnapshot:
    framed = valkey.get(keys.SOURCES)
    assert isinstance(framed, bytes)
    return source_snapshot.decode(framed)


def only(valkey: Redis) -> SourceSnapshot:
    (source,) = published(valkey).sources
    return source


def sha(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def change(
    db: Session, made: service.Made, actor: Actor, now: datetime, redis: Redis | None = None, **settings: Any
) -> ConversionSource:
    """Change some settings of a source that was just made."""
    row = service.get_source(db, source_id=made.source.id)
    return service.change_source(
        db,
        source_id=row.id,
        version=row.version,
        name=settings.pop("name", row.name),
        settings=msgspec.structs.replace(settings_of(row.settings), **settings),
        actor=actor,
        now=now,
        redis=redis,
    )


def test_it_makes_a_source_from_a_preset_and_tells_the_trackers(
    make: Make, db: Session, valkey: Redis
) -> None:
    made = make("  TUNE  Brasil ", "tune")
    assert re.fullmatch(r"pb_[a-z2-7]{26}", made.token)
    row = service.get_source(db, source_id=made.source.id)
    assert (row.name, row.preset, row.is_active, row.version) == ("TUNE Brasil", "tune", True, 1)
    assert settings_of(row.settings) == PRESETS["tune"].settings
    (token,) = row.tokens
    assert (token.token_hash, token.expires_at) == (sha(made.token), None)
    assert token.hint == f"{made.token[:5]}…{made.token[-4:]}"
    source = only(valkey)
    assert (source.source_id, source.reply) == (row.id, "success=true;")
    assert [(one.hash, one.until_ms) for one in source.tokens] == [(sha(made.token), 0)]
    assert db.scalars(select(Outbox)).all() == []
    assert db.scalars(select(AuditLog.action)).all() == ["source.make"]


def test_it_keeps_the_token_nowhere(make: Make, db: Session) -> None:
    token = make().token
    kept = [str(row.detail) for row in db.scalars(select(AuditLog))]
    kept += [f"{row.hint}{row.token_hash.hex()}" for row in db.scalars(select(SourceToken))]
    assert not any(token in text for text in kept)


@pytest.mark.parametrize(
    ("name", "preset", "field"),
    [
        ("", "plain", "name"),
        ("x" * 101, "plain", "name"),
        ("a\x00b", "plain", "name"),
        ("New", "nobody", "preset"),
    ],
)
def test_it_says_what_is_wrong_with_a_new_one(
    make: Make, db: Session, name: str, preset: str, field: str
) -> None:
    with pytest.raises(service.SourceRefused) as refused:
        make(name, preset)
    assert refused.value.field == field
    assert db.scalars(select(ConversionSource)).all() == []


def test_it_gives_a_name_once(make: Make, db: Session, actor: Actor, now: datetime) -> None:
    make("Loja")
    with pytest.raises(service.SourceRefused, match="one of your sources already") as refused:
        make("Loja")
    assert refused.value.field == "name"
    other = make("Rede")
    with pytest.raises(service.SourceRefused):
        change(db, other, actor, now, name="Loja")
    assert service.get_source(db, source_id=other.source.id).name == "Rede"


def test_it_changes_what_differs_and_writes_it_down(
    make: Make, db: Session, valkey: Redis, actor: Actor, now: datetime
) -> None:
    row = change(
        db,
        make(),
        actor,
        now,
        valkey,
        currency="brl",
        networks=(" 203.0.113.7 ", "2001:db8::/32"),
        reply="OK!",
    )
    assert row.version == 2
    settings = settings_of(row.settings)
    assert (settings.currency, settings.networks) == ("BRL", ("203.0.113.7/32", "2001:db8::/32"))
    assert (only(valkey).networks, only(valkey).reply) == (settings.networks, "OK!")
    detail = db.scalars(select(AuditLog.detail).where(AuditLog.action == "source.edit")).one()
    assert detail["changed"]["currency"] == ["", "BRL"]
    same = change(db, service.Made(row, ""), actor, now, valkey)
    assert same.version == 2
    assert db.scalar(select(func.count()).where(AuditLog.action == "source.edit")) == 1


def test_it_lets_nobody_save_over_somebody(make: Make, db: Session, actor: Actor, now: datetime) -> None:
    made = make()
    change(db, made, actor, now, currency="EUR")
    with pytest.raises(service.StaleSource, match="Shop saved this source meanwhile") as stale:
        service.change_source(
            db,
            source_id=made.source.id,
            version=1,
            name="Mine",
            settings=SourceSettings(fields={"click_id": ("id",)}),
            actor=actor,
            now=now,
        )
    assert stale.value.current.version == 2
    assert settings_of(stale.value.current.settings).currency == "EUR"


def test_it_knows_only_campaigns_that_there_are(make: Make, db: Session, actor: Actor, now: datetime) -> None:
    campaign = Campaign(name="Black Friday")
    db.add(campaign)
    db.commit()
    made = make()
    with pytest.raises(service.SourceRefused) as refused:
        change(db, made, actor, now, campaigns=(campaign.id, 999))
    assert refused.value.field == "campaigns"
    assert settings_of(change(db, made, actor, now, campaigns=(campaign.id,)).settings).campaigns == (
        campaign.id,
    )


def test_a_source_that_is_switched_off_is_unknown_to_trackers(
    make: Make, db: Session, valkey: Redis, actor: Actor, now: datetime
) -> None:
    made = make()
    for active in (False, False, True):
        service.switch_source(db, source_id=made.source.id, active=active, actor=actor, now=now, redis=valkey)
        assert len(published(valkey).sources) == int(active)
    actions = db.scalars(select(AuditLog.action).order_by(AuditLog.id)).all()
    assert actions == ["source.make", "source.switch_off", "source.switch_on"]


def test_it_takes_the_old_token_for_a_while(
    make: Make, db: Session, valkey: Redis, actor: Actor, now: datetime
) -> None:
    first = make()
    second = service.rotate_token(db, source_id=first.source.id, actor=actor, now=now, redis=valkey)
    until = int((now + timedelta(days=7)).timestamp() * 1000)
    tokens = {token.hash: token.until_ms for token in only(valkey).tokens}
    assert tokens.keys() == {sha(first.token), sha(second.token)}
    assert tokens[sha(second.token)] == 0
    assert abs(tokens[sha(first.token)] - until) <= 1
    service.end_old_tokens(db, source_id=first.source.id, actor=actor, now=now, redis=valkey)
    assert [token.hash for token in only(valkey).tokens] == [sha(second.token)]


def test_it_can_end_the_old_token_at_once(
    make: Make, db: Session, valkey: Redis, actor: Actor, now: datetime
) -> None:
    first = make()
    second = service.rotate_token(
        db, source_id=first.source.id, actor=actor, now=now, overlap=timedelta(), redis=valkey
    )
    assert [token.hash for token in only(valkey).tokens] == [sha(second.token)]


def test_rotating_again_makes_no_old_token_live_longer(
    make: Make, db: Session, actor: Actor, now: datetime
) -> None:
    made = make()
    service.rotate_token(db, source_id=made.source.id, actor=actor, now=now, overlap=timedelta(hours=1))
    service.rotate_token(db, source_id=made.source.id, actor=actor, now=now, overlap=timedelta(hours=9))
    row = service.get_source(db, source_id=made.source.id)
    assert [token.expires_at for token in row.tokens] == [
        None,
        now + timedelta(hours=9),
        now + timedelta(hours=1),
    ]


def test_tokens_that_have_ended_are_forgotten(make: Make, db: Session, actor: Actor, now: datetime) -> None:
    made = make()
    service.rotate_token(db, source_id=made.source.id, actor=actor, now=now, overlap=timedelta(hours=1))
    later = now + timedelta(hours=2)
    last = service.rotate_token(db, source_id=made.source.id, actor=actor, now=later)
    assert [token.expires_at for token in last.source.tokens] == [None, later + service.OVERLAP]


def test_a_form_that_is_sent_twice_rotates_once(make: Make, db: Session, actor: Actor, now: datetime) -> None:
    made = make()
    seen = service.get_source(db, source_id=made.source.id).tokens[0].id
    service.rotate_token(db, source_id=made.source.id, actor=actor, now=now, seen=seen)
    with pytest.raises(service.SourceRefused, match="replaced meanwhile"):
        service.rotate_token(db, source_id=made.source.id, actor=actor, now=now, seen=seen)
    assert len(service.get_source(db, source_id=made.source.id).tokens) == 2


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=91)])
def test_it_overlaps_for_a_sensible_time(
    make: Make, db: Session, actor: Actor, now: datetime, overlap: timedelta
) -> None:
    with pytest.raises(service.SourceRefused) as refused:
        service.rotate_token(db, source_id=make().source.id, actor=actor, now=now, overlap=overlap)
    assert refused.value.field == "overlap"


def test_it_checks_signatures_once_there_is_a_key(
    make: Make, db: Session, valkey: Redis, actor: Actor, now: datetime
) -> None:
    made = make("Shop", "shopify")
    assert only(valkey).signature is None
    do: dict[str, Any] = {"source_id": made.source.id, "actor": actor, "now": now, "redis": valkey}
    service.put_key(db, key=" first-secret ", **do)
    assert only(valkey).signature == Signature(
        keys=(b"first-secret",), header="X-Shopify-Hmac-Sha256", encoding="base64"
    )
    for key in ("second-secret", "second-secret", "third-secret"):
        service.put_key(db, key=key, **do)
    found = only(valkey).signature
    assert found is not None and found.keys == (b"third-secret", b"second-secret")
    service.drop_old_keys(db, **do)
    found = only(valkey).signature
    assert found is not None and found.keys == (b"third-secret",)
    service.remove_keys(db, **do)
    assert only(valkey).signature is None
    assert not any("secret" in str(detail) for detail in db.scalars(select(AuditLog.detail)))
    with pytest.raises(service.SourceRefused) as refused:
        service.put_key(db, key="short", **do)
    assert refused.value.field == "key"


def test_it_tells_the_tracker_which_headers_it_is_read_by(
    make: Make, db: Session, valkey: Redis, actor: Actor, now: datetime
) -> None:
    fields = {
        "click_id": ("id",),
        "event": ("header:X-Topic",),
        "transaction_id": ("header:x-order", "order"),
    }
    change(db, make(), actor, now, valkey, fields=fields, signature=SignatureSettings())
    assert only(valkey).wants_headers == ("x-order", "x-topic")


def test_it_removes_a_source_without_conversions(
    make: Make, db: Session, valkey: Redis, actor: Actor, now: datetime
) -> None:
    made = make()
    db.add(SourceTest(click_id="01998c3e-7a41-7c0e-9b52-5f0c3a1d77e4", source_id=made.source.id))
    db.commit()
    service.delete_source(db, source_id=made.source.id, actor=actor, now=now, redis=valkey)
    assert published(valkey).sources == ()
    for table in (ConversionSource, SourceToken, SourceTest):
        assert db.scalars(select(table)).all() == []
    with pytest.raises(service.SourceNotFound):
        service.delete_source(db, source_id=made.source.id, actor=actor, now=now)


def test_it_keeps_a_source_that_a_conversion_came_from(
    make: Make, db: Session, actor: Actor, now: datetime
) -> None:
    made = make()
    source_id = made.source.id
    db.add(
        Conversion(
            source_id=source_id,
            ref_click="01998c3e-7a41-7c0e-9b52-5f0c3a1d77e4",
            status="approved",
            at=now,
            currency="USD",
        )
    )
    db.commit()
    with pytest.raises(service.SourceInUse):
        service.delete_source(db, source_id=source_id, actor=actor, now=now)
    assert service.get_source(db, source_id=source_id).name == "Loja online"


def test_what_is_not_there_is_said_to_be_so(db: Session, actor: Actor, now: datetime) -> None:
    for verb in (service.rotate_token, service.end_old_tokens, service.drop_old_keys, service.remove_keys):
        with pytest.raises(service.SourceNotFound):
            verb(db, source_id=7, actor=actor, now=now)  # type: ignore[operator]


def test_a_worker_publishes_what_could_not_be_published_at_once(
    db: Session, engine: Engine, valkey: Redis, away: Redis, actor: Actor, now: datetime
) -> None:
    service.make_source(db, name="Loja", preset="plain", actor=actor, now=now, redis=away)
    row = db.scalars(select(Outbox)).one()
    assert (row.queue, row.task, row.args) == ("publish", publishing.SOURCES_TASK, [])
    publishing.publish_sources(engine, valkey)
    assert len(published(valkey).sources) == 1


def test_a_republish_writes_the_sources_too(
    make: Make, sessions: sessionmaker[Session], engine: Engine, valkey: Redis
) -> None:
    make()
    before = valkey.get(keys.SOURCES)
    assert isinstance(before, bytes)
    publishing.republish_all(engine, valkey)
    after = valkey.get(keys.SOURCES)
    assert isinstance(after, bytes)
    assert revision_of(after) > revision_of(before)
    valkey.flushdb()
    publishing.republish_all(engine, valkey)
    assert len(published(valkey).sources) == 1


def test_a_republish_without_sources_says_that_there_are_none(
    db: Session, engine: Engine, valkey: Redis
) -> None:
    publishing.republish_all(engine, valkey)
    assert published(valkey) == SourcesSnapshot()
