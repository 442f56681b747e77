"""Keys of the API: made once, found by their text, revoked for good."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db.models import ApiKey, AuditLog
from core.services.actor import COMMAND
from core.services.api_keys import KeyNotFound, KeyRefused, create_key, key_for, list_keys, revoke_key

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def test_it_shows_a_key_once_and_stores_its_hash(db: Session) -> None:
    key, plain = create_key(db, name=" Shop ", role="marketer", actor=COMMAND, now=NOW)
    assert plain.startswith("rst_") and len(plain) == 44
    assert plain.startswith(key.prefix) and len(key.prefix) == 10
    assert key.name == "Shop"
    assert plain.encode() not in key.key_hash
    assert db.scalars(select(AuditLog.subject)).all() == [f"key:{key.id}"]


def test_it_finds_a_key_by_its_whole_text_only(db: Session) -> None:
    key, plain = create_key(db, name="Shop", role="viewer", actor=COMMAND, now=NOW)
    found = key_for(db, plain=plain, now=NOW)
    assert found is not None and found.id == key.id
    for text in (
        "",
        "rst_",
        plain[:-1],
        plain + "x",
        plain.upper(),
        "Rst_" + plain[4:],
        "rst_" + "\u00e9" * 40,
    ):
        assert key_for(db, plain=text, now=NOW) is None


def test_it_notes_the_last_use_once_a_minute(db: Session) -> None:
    key, plain = create_key(db, name="Shop", role="viewer", actor=COMMAND, now=NOW)
    seen = []
    for seconds in (0, 30, 59, 60):
        key_for(db, plain=plain, now=NOW + timedelta(seconds=seconds))
        db.expire_all()
        seen.append(key.last_used_at)
    assert seen == [NOW, NOW, NOW, NOW + timedelta(seconds=60)]


def test_it_revokes_a_key(db: Session) -> None:
    key, plain = create_key(db, name="Shop", role="viewer", actor=COMMAND, now=NOW)
    revoke_key(db, key_id=key.id, actor=COMMAND, now=NOW)
    revoke_key(db, key_id=key.id, actor=COMMAND, now=NOW)
    assert key_for(db, plain=plain, now=NOW) is None
    assert [row.id for row in list_keys(db)] == [key.id]
    with pytest.raises(KeyNotFound):
        revoke_key(db, key_id=999, actor=COMMAND, now=NOW)


@pytest.mark.parametrize(
    ("name", "role", "field"), [("", "viewer", "name"), ("x" * 101, "viewer", "name"), ("a", "root", "role")]
)
def test_it_refuses_a_key_without_name_or_role(db: Session, name: str, role: str, field: str) -> None:
    with pytest.raises(KeyRefused) as refused:
        create_key(db, name=name, role=role, actor=COMMAND, now=NOW)
    assert refused.value.field == field
    assert db.scalars(select(ApiKey)).all() == []
