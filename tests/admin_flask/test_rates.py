"""Settings, exchange rates: filled in, changed, removed; what is missing; conversions counted by them."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db.conversions import Conversion, ExchangeRate
from core.db.models import AuditLog
from core.services import conversion_sources
from core.services.actor import COMMAND
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MORNING

Sit = Callable[..., Browser]


@pytest.fixture
def conversion(db: Session) -> Conversion:
    """100 BRL, approved three days ago, in no report."""
    made = conversion_sources.make_source(db, name="Loja", preset="plain", actor=COMMAND, now=MORNING)
    row = Conversion(
        source_id=made.source.id,
        ref_click=UUID(int=7),
        status="approved",
        at=MORNING - timedelta(days=3),
        currency="BRL",
        revenue=Decimal(100),
    )
    db.add(row)
    db.commit()
    return row


def put(browser: Browser, currency: str = "BRL", day: str = "2026-11-01", rate: str = "0.2") -> str:
    page = browser.follow(browser.post("/settings/rates", {"currency": currency, "day": day, "rate": rate}))
    return page.text


def test_it_says_which_conversions_are_in_no_report_until_there_is_a_rate(
    sit_down: Sit, db: Session, conversion: Conversion
) -> None:
    browser = sit_down("admin")
    page = browser.get("/settings/rates").text
    assert "Some conversions are in no report." in page
    assert "1 conversion, on 24 Nov" in page
    assert "set RATES_URL" in page
    page = put(browser, "brl", rate=" 0,1845 ")
    assert "The rate is saved. 1 conversion was counted anew." in page
    assert "Some conversions are in no report." not in page
    assert "0.1845 USD" in page
    db.refresh(conversion)
    assert (conversion.rate, conversion.report_revenue) == (Decimal("0.1845"), Decimal("18.45"))
    row = db.scalars(select(ExchangeRate)).one()
    assert (row.currency, row.day, row.origin) == ("BRL", date(2026, 11, 1), "Marina Costa")


def test_a_conversion_counts_by_the_last_rate_before_it(
    sit_down: Sit, db: Session, conversion: Conversion
) -> None:
    browser = sit_down("admin")
    put(browser, day="2026-11-01", rate="0.2")
    put(browser, day="2026-11-20", rate="0.3")
    put(browser, day="2026-11-26", rate="0.4")
    db.refresh(conversion)
    assert conversion.report_revenue == Decimal(30)
    page = browser.get("/settings/rates?currency=BRL").text
    assert page.index("26 Nov") < page.index("20 Nov") < page.index("1 Nov")
    browser.follow(browser.post("/settings/rates/BRL/2026-11-20/delete"))
    db.refresh(conversion)
    assert conversion.report_revenue == Decimal(20)
    put(browser, day="2026-11-01", rate="0.5")
    db.refresh(conversion)
    assert conversion.report_revenue == Decimal(50)
    details = db.scalars(
        select(AuditLog.detail).where(AuditLog.action == "rate.put").order_by(AuditLog.id)
    ).all()
    assert [detail["before"] for detail in details] == [None, None, None, "0.2"]
    assert db.scalars(select(AuditLog.action).where(AuditLog.action == "rate.delete")).all() == [
        "rate.delete"
    ]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("currency", "", "Type its code"),
        ("currency", "USD", "Reports are in USD"),
        ("currency", "XYZ", "There is no such currency."),
        ("day", "", "Choose the day"),
        ("day", "1999-12-31", "not before 2000"),
        ("day", "2026-11-29", "not still to come"),
        ("rate", "", "Type a number"),
        ("rate", "much", "Type a number"),
        ("rate", "0", "a number above 0"),
        ("rate", "-1", "a number above 0"),
        ("rate", "NaN", "a number above 0"),
        ("rate", "1e11", "a number above 0"),
        ("rate", "0.1234567890123", "At most 12 decimals"),
    ],
)
def test_it_says_what_is_wrong_and_keeps_what_was_typed(
    sit_down: Sit, db: Session, field: str, value: str, words: str
) -> None:
    sent: dict[str, object] = {"currency": "BRL", "day": "2026-11-01", "rate": "0.2", field: value}
    answer = sit_down("admin").post("/settings/rates", sent)
    assert answer.status_code == 422
    assert words in answer.text
    assert all(f'value="{text}"' in answer.text for name, text in sent.items() if text and name != "day")
    assert db.scalars(select(ExchangeRate)).all() == []


def test_it_knows_no_rate_that_is_not_there(sit_down: Sit) -> None:
    browser = sit_down("admin")
    assert browser.post("/settings/rates/BRL/2026-11-20/delete").status_code == 404
    assert browser.post("/settings/rates/BRL/yesterday/delete").status_code == 404


def test_each_currency_shows_its_last_rate(sit_down: Sit) -> None:
    browser = sit_down("admin")
    put(browser, "EUR", "2026-11-01", "1.05")
    put(browser, "EUR", "2026-11-20", "1.08")
    page = put(browser, "JPY", "2026-11-20", "0.0065")
    assert "1.08 USD" in page and "1.05 USD" not in page
    assert "0.0065 USD" in page
