"""Finding postbacks: by click id, order or any value; by outcome, source, time and amount; page by page; counted."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from core.db import inbox
from core.db.clicks import store_batch
from core.domain.conversions import CONVERSION, NO_CLICK, REFUSED
from core.services.postbacks import (
    NO_SOURCE,
    InboxFilter,
    count_postbacks,
    find_postbacks,
    id_span,
    look_around,
)
from tests.core.db.samples import NOW, click, click_id, new_store
from tests.core.services.inbox import postback, source

CLICK = UUID(bytes=click_id(NOW - timedelta(minutes=2), (2 << 62) + 77))
ORDER = f"subid={CLICK}&valor=2.199,00&pedido=AR-2026-118402&status=aprovado&loja=S%C3%A3o+Paulo"


def ids(db: Session, **filter: object) -> list[UUID]:
    """What a filter finds."""
    return [row.id for row in find_postbacks(db, InboxFilter(**filter)).rows]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "words",
    [
        str(CLICK),
        str(CLICK).upper(),
        CLICK.hex,
        f"{{{CLICK}}}",
        str(CLICK)[:8],
        str(CLICK)[:13],
        CLICK.hex[:11],
        "AR-2026-118402",
        "ar-2026-118402 ",
        "2.199,00",
        "são paulo",
        "aprovado AR-2026-118402",
    ],
)
def test_it_finds_a_postback_by_whatever_it_says(db: Session, words: str) -> None:
    wanted = postback(db, ORDER, at=NOW)
    postback(db, "subid=&valor=5&pedido=other&status=pendente", at=NOW - timedelta(seconds=1))
    assert ids(db, search=words) == [wanted]


def test_it_finds_a_postback_by_its_own_id(db: Session) -> None:
    wanted = postback(db, ORDER, at=NOW)
    postback(db, ORDER, at=NOW - timedelta(days=1))
    assert ids(db, search=str(wanted)) == [wanted]


@pytest.mark.parametrize(
    "words", ["118402", "AR-2026", str(CLICK)[:7], "%", "\x00", "\ud800", "{click_id}", "x" * 600]
)
def test_it_finds_nothing_by_parts_and_by_nonsense(db: Session, words: str) -> None:
    postback(db, ORDER, at=NOW)
    assert ids(db, search=words) == ([] if words != "\x00" else ids(db))


def test_it_filters_by_outcome_source_time_and_amount(db: Session) -> None:
    shop = source(db)
    at = [NOW - timedelta(hours=hours) for hours in range(4)]
    sale = postback(db, "subid=&valor=100&pedido=a", at=at[0], of=shop)
    lost = postback(db, "subid=&valor=250,50&pedido=b", at=at[1], of=shop, verdict=NO_CLICK)
    stranger = postback(db, "subid=x", at=at[2], refused="token")
    old = postback(db, "subid=&valor=900&pedido=c", at=at[3])
    assert ids(db) == [sale, lost, stranger, old]
    assert ids(db, verdicts=(NO_CLICK,)) == [lost]
    assert ids(db, verdicts=(NO_CLICK, REFUSED)) == [lost, stranger]
    assert ids(db, source_id=shop.id) == [sale, lost]
    assert ids(db, source_id=NO_SOURCE) == [stranger, old]
    assert ids(db, since=at[2], until=at[0]) == [lost, stranger]
    assert ids(db, least=Decimal("250.5")) == [lost, old]
    assert ids(db, least=Decimal(100), most=Decimal(300)) == [sale, lost]
    assert ids(db, search="b", verdicts=(NO_CLICK,), source_id=shop.id, since=at[1]) == [lost]


def test_it_pages_without_gap_or_repetition(db: Session) -> None:
    made = [postback(db, f"pedido=o{n}&status=aprovado", at=NOW - timedelta(seconds=n)) for n in range(7)]
    for search in ("", "aprovado"):
        seen: list[UUID] = []
        before = None
        while True:
            page = find_postbacks(db, InboxFilter(search=search, before=before, size=3))
            seen += [row.id for row in page.rows]
            if not page.more:
                break
            before = page.rows[-1].id
        assert seen == made


def test_it_counts_by_outcome_up_to_a_limit(db: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "COUNTED", 3)
    for n in range(6):
        postback(db, f"pedido=o{n}&status=aprovado", at=NOW - timedelta(seconds=n))
    postback(db, "pedido=p&status=aprovado", at=NOW - timedelta(minutes=1), verdict=NO_CLICK)
    counts = count_postbacks(db, InboxFilter(verdicts=(NO_CLICK,)))
    assert not counts.at_least
    assert counts.by_verdict["conversion"] == 4  # one more than is counted says: more than that
    assert (counts.by_verdict["no_click"], counts.by_verdict["refused"]) == (1, 0)


def test_it_counts_what_nearly_all_have_among_the_newest(
    db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "COUNTED", 5)
    monkeypatch.setattr(inbox, "RECENT", 4)
    for n in range(6):
        postback(db, f"pedido=o{n}&status=aprovado", at=NOW - timedelta(seconds=n))
    common = count_postbacks(db, InboxFilter(search="aprovado", size=2))
    assert (common.at_least, common.by_verdict["conversion"]) == (True, 5)
    rare = count_postbacks(db, InboxFilter(search="o5", size=2))
    assert (rare.at_least, rare.by_verdict["conversion"]) == (False, 1)


@pytest.mark.parametrize("recent", [1, 3, 100])
def test_it_finds_the_same_however_many_are_looked_through_first(
    db: Session, monkeypatch: pytest.MonkeyPatch, recent: int
) -> None:
    monkeypatch.setattr(inbox, "RECENT", recent)
    made = [
        postback(
            db, f"pedido=o{n % 3}&valor={n}&status=aprovado", at=NOW - timedelta(seconds=n), verdict=verdict
        )
        for n, verdict in enumerate((CONVERSION, NO_CLICK) * 6)
    ]
    assert ids(db, search="o1", size=2) == [made[1], made[4]]
    assert ids(db, search="o1", verdicts=(NO_CLICK,)) == [made[1], made[7]]
    assert ids(db, search="aprovado", before=made[9]) == made[10:]
    assert ids(db, least=Decimal(10)) == made[10:]
    assert ids(db, search="o1", most=Decimal(4)) == [made[1], made[4]]


def test_it_tells_what_there_is_to_a_search_that_found_nothing(db: Session, engine: Engine) -> None:
    store_batch(new_store(engine), [click(NOW - timedelta(minutes=2), tail=(2 << 62) + 77)], now=NOW)
    found = look_around(db, str(CLICK)[:13])
    assert found.click is not None
    assert found.click.id == CLICK
    assert found.click.at == NOW - timedelta(minutes=2)
    other = look_around(db, "01998c3e-7a41")
    assert (other.click, other.is_click_id) == (None, True)
    assert other.made_at is not None
    assert other.made_at.year == 2025
    assert look_around(db, "ffffffff").made_at is None
    assert not look_around(db, "AR-1").is_click_id


@pytest.mark.parametrize("words", ["", "1234567", "AR-2026-118402", "0" * 33, "zzzzzzzz"])
def test_it_takes_no_other_text_for_an_id(words: str) -> None:
    assert id_span(words) is None
