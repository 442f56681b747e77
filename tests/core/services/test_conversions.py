"""A status that people set: one at a time, written down, told on."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from core.db.conversions import Conversion, ConversionHistory
from core.services import conversions
from core.services.actor import COMMAND, Actor
from tests.core.db.sales import AT, add_conversion

MARINA = Actor(kind="user", id=7, name="Marina Costa", role="support")


def test_of_many_at_once_one_wins(sessions: sessionmaker[Session], db: Session) -> None:
    row = add_conversion(db)

    def change(number: int) -> bool:
        with sessions() as session:
            try:
                conversions.set_status(
                    session,
                    conversion_id=row.id,
                    status="rejected" if number % 2 else "refunded",
                    reason=f"reason {number}",
                    version=1,
                    actor=MARINA,
                    now=AT,
                )
            except conversions.StaleConversion as stale:
                assert stale.current.version == 2 and stale.editor == "Marina Costa"
                return False
            return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(change, range(8))) == 1
    db.expire_all()
    versions = db.scalars(select(ConversionHistory).where(ConversionHistory.conversion_id == row.id)).all()
    assert sorted(version.version for version in versions) == [1, 2]


def test_without_a_version_the_last_word_counts(db: Session) -> None:
    row = add_conversion(db)
    for status in ("rejected", "approved", "refunded"):
        conversions.set_status(db, conversion_id=row.id, status=status, reason="x", actor=COMMAND, now=AT)
    assert db.get_one(Conversion, row.id).version == 4
    history = conversions.history_of(db, conversion_id=row.id)
    assert [version.status for version in history] == ["refunded", "approved", "rejected", "approved"]
    assert conversions.names_in(db, history)["command"] == "command"


def test_a_postback_that_came_between_is_named(db: Session) -> None:
    row = add_conversion(db)
    with pytest.raises(conversions.StaleConversion, match="A postback changed"):
        conversions.set_status(
            db, conversion_id=row.id, status="rejected", reason="x", version=9, actor=COMMAND, now=AT
        )


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"reason": " \n"}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"status": "sold"}, "status"),
        ({"status": "approved"}, "status"),
    ],
)
def test_it_refuses_what_can_not_be(db: Session, fields: dict[str, str], field: str) -> None:
    row = add_conversion(db)
    wanted = {"status": "rejected", "reason": "x", **fields}
    with pytest.raises(conversions.ConversionRefused) as refused:
        conversions.set_status(db, conversion_id=row.id, **wanted, actor=COMMAND, now=AT)
    assert refused.value.field == field
    with pytest.raises(conversions.ConversionNotFound):
        conversions.set_status(db, conversion_id=99, status="rejected", reason="x", actor=COMMAND, now=AT)


def test_a_reason_may_hold_anything_that_people_type(db: Session) -> None:
    row = add_conversion(db)
    reason = "não\0 é  isto\n\ud83d"
    conversions.set_status(db, conversion_id=row.id, status="rejected", reason=reason, actor=COMMAND, now=AT)
    assert conversions.history_of(db, conversion_id=row.id)[0].reason == "não\ufffd é isto \ufffd"
