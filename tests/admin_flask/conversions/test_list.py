"""The list of conversions: what it shows, filters, totals, pages, and the file."""

import csv
import io
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from admin_flask.conversions.export import cell
from core.db.models import Campaign, User
from core.services import accounts
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MORNING
from tests.admin_flask.links.conftest import MakeLink
from tests.core.db.sales import AT, add_conversion, add_source, new_click_id

Sit = Callable[..., Browser]


def orders(text: str) -> list[str]:
    """The orders that a page lists, in its order."""
    return re.findall(r'<a class="a trunc" href="/conversions/\d+">([^<]+)</a>', text)


def plain(text: str) -> str:
    """What is read of a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def test_it_tells_how_to_get_the_first_one(sit_down: Sit) -> None:
    page = sit_down("viewer").get("/conversions").text
    assert "No conversions yet" in page
    assert "/conversions/upload" not in page


def test_it_lists_what_was_sold(sit_down: Sit, db: Session, make_link: MakeLink) -> None:
    link = make_link("bf-tv", title="Smart TV 4K")
    add_conversion(db, "2199", "BRL", rate="0.2", link_id=link.id, transaction_id="AR-118402")
    add_conversion(db, "10", "USD", transaction_id="AR-2", status="rejected", at=AT - timedelta(hours=1))
    page = sit_down("viewer").get("/conversions").text
    assert orders(page) == ["AR-118402", "AR-2"]
    words = plain(page)
    assert "27 Nov, 11:30 AR-118402 Smart TV 4K Loja sale Approved R$2,199.00 $439.80 Click id" in words
    assert "27 Nov, 10:30 AR-2 no link Loja sale Rejected $10.00 Click id" in words


def test_it_adds_up_and_says_what_it_leaves_out(sit_down: Sit, db: Session) -> None:
    add_conversion(db, "100", payout="10", cost="5.50")
    add_conversion(db, "50", "BRL", rate="0.2", status="pending")
    add_conversion(db, "1000", status="rejected")
    add_conversion(db, "1000", status="refunded")
    add_conversion(db, "1000", is_late=True)
    add_conversion(db, "1000", "ARS", rate=None)
    words = plain(sit_down("viewer").get("/conversions").text)
    assert "6 conversions Revenue $110.00 − payout $10.00 − cost $5.50 = profit $94.50" in words
    left = "Left out: 2 rejected or refunded, 1 that came too late, 1 without an exchange rate."
    assert f"Money is of 2 that count. {left}" in words
    assert "Left out" not in plain(sit_down("support").get("/conversions?status=pending").text)


def test_it_filters(sit_down: Sit, db: Session, make_link: MakeLink) -> None:
    campaign = Campaign(name="Black Friday")
    db.add(campaign)
    db.commit()
    link = make_link("bf-tv", title="TV", campaign_id=campaign.id)
    add_source(db)
    hotmart = add_source(db, "Hotmart")
    click = new_click_id()
    add_conversion(db, "1", transaction_id="AR-1", source=hotmart, link_id=link.id, click_id=click)
    add_conversion(
        db,
        "3",
        transaction_id="ar-12",
        status="pending",
        event="lead",
        customer_id="maria@x",
        at=AT - timedelta(days=9),
    )
    add_conversion(
        db, "2", "ARS", transaction_id="100%", rate=None, is_late=True, click_id=None, attributed_by="coupon"
    )
    browser = sit_down("viewer")
    for query, found in (
        ("", ["AR-1", "100%", "ar-12"]),
        ("q=AR-1", ["AR-1", "ar-12"]),
        ("q=ar-12", ["ar-12"]),
        ("q=100%25", ["100%"]),
        ("q=100_", []),
        (f"q={click}", ["AR-1"]),
        (f"q={str(click).replace('-', '').upper()}", ["AR-1"]),
        ("q=maria@x", ["ar-12"]),
        ("q=maria", []),
        ("q=%00%ED%A0%BD", []),
        ("status=pending", ["ar-12"]),
        ("event=lead", ["ar-12"]),
        (f"source={hotmart.id}", ["AR-1"]),
        (f"campaign={campaign.id}", ["AR-1"]),
        (f"link={link.id}", ["AR-1"]),
        ("by=coupon", ["100%"]),
        ("timing=late", ["100%"]),
        ("timing=in", ["AR-1", "ar-12"]),
        ("rate=unknown", ["100%"]),
        ("rate=known", ["AR-1", "ar-12"]),
        ("time=7d", ["AR-1", "100%"]),
        ("from=2026-11-27&to=2026-11-27", ["AR-1", "100%"]),
        ("to=2026-11-26", ["ar-12"]),
        ("sort=amount", ["ar-12", "AR-1", "100%"]),
        ("sort=amount&order=up", ["100%", "AR-1", "ar-12"]),
        ("order=up", ["ar-12", "AR-1", "100%"]),
        (
            "status=sold&source=x&from=31&to=9999-99-99&sort=name&after=x_y&time=ever",
            ["100%", "AR-1", "ar-12"],
        ),
    ):
        page = browser.get(f"/conversions?{query}")
        assert page.status_code == 200
        shown = orders(page.text)
        assert shown == found if "sort" in query or "order" in query else sorted(shown) == sorted(found), (
            query
        )
    page = browser.get(f"/conversions?link={link.id}&status=pending").text
    assert "No conversions match. Remove a filter:" in page
    assert 'Link <b class="trunc">TV</b>' in page


@pytest.mark.parametrize("sort", ["at", "amount"])
@pytest.mark.parametrize("order", ["up", "down"])
def test_it_turns_pages_without_losing_or_repeating_any(
    sit_down: Sit, db: Session, sort: str, order: str
) -> None:
    for n in range(120):
        add_conversion(
            db,
            str(n % 7),
            rate=None if n % 5 == 0 else "1",
            transaction_id=f"T{n}",
            at=AT - timedelta(minutes=n % 11),
        )
    browser, seen = sit_down("viewer"), []
    query = f"/conversions?sort={sort}&order={order}"
    first = browser.get(query).text
    assert "50 of 120, UTC" in plain(first)
    page = first
    while True:
        seen += orders(page)
        after = re.search(r'rel="next" href="([^"]+)"', page)
        if not after:
            break
        page = browser.get(after[1].replace("&amp;", "&")).text
    assert len(seen) == 120 and len(set(seen)) == 120
    assert "To the first" in page


def test_days_are_those_of_the_person(
    app_in_brazil: Flask, db: Session, settings: object, person: Callable[..., User]
) -> None:
    token = accounts.open_session(
        db, user=person("viewer"), now=MORNING, ip="127.0.0.1", agent="x", keep=False
    )
    db.commit()
    browser = Browser(app_in_brazil, settings.admin_url)  # type: ignore[attr-defined]
    browser.client.set_cookie("rastro_sid", token, domain="localhost")
    add_conversion(db, "1", transaction_id="late-evening", at=AT.replace(hour=2))
    assert orders(browser.get("/conversions?from=2026-11-26&to=2026-11-26").text) == ["late-evening"]
    answer = browser.get("/conversions/export.csv?to=2026-11-26")
    assert "conversions-2026-11-27-America-Sao_Paulo.csv" in answer.headers["Content-Disposition"]
    assert "2026-11-26T23:30:00-03:00" in answer.text


def test_htmx_gets_the_rows_alone(sit_down: Sit, db: Session) -> None:
    add_conversion(db, "1")
    part = sit_down("viewer").get("/conversions?q=AR", htmx=True, headers={"HX-Trigger": "find"}).text
    assert 'id="rows"' in part and "<html" not in part and 'id="q"' not in part


def test_it_exports_what_it_shows(sit_down: Sit, db: Session, make_link: MakeLink) -> None:
    link = make_link("bf-tv", title="=cmd|' /C calc'!A0")
    add_conversion(
        db, "12.5", "BRL", rate="0.2", link_id=link.id, transaction_id="-5+3", cost="20", customer_id="@x"
    )
    add_conversion(db, "1", status="rejected")
    answer = sit_down("viewer").get("/conversions/export.csv?status=approved")
    assert answer.mimetype == "text/csv"
    data = answer.get_data()
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
    assert len(rows) == 1
    row = rows[0]
    assert row["link"] == "'=cmd|' /C calc'!A0"
    assert (row["transaction_id"], row["customer_id"]) == ("'-5+3", "'@x")
    assert (row["revenue"], row["currency"], row["report_revenue"], row["report_currency"]) == (
        "12.5",
        "BRL",
        "2.5",
        "USD",
    )
    assert row["report_profit"] == "-1.5"
    assert row["time"] == "2026-11-27T11:30:00+00:00"


def test_an_export_of_nothing_has_its_head(sit_down: Sit) -> None:
    assert sit_down("viewer").get("/conversions/export.csv").text.startswith("\ufeffid,time,source,")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("=1", "'=1"),
        ("+55 11", "'+55 11"),
        ("-x", "'-x"),
        ("@x", "'@x"),
        ("\tx", "'\tx"),
        ("a=b", "a=b"),
        (None, ""),
        (True, "yes"),
        (-5, "-5"),
    ],
)
def test_a_cell_never_becomes_a_formula(value: object, text: str) -> None:
    assert cell(value) == text


def test_it_asks_to_sign_in(browser: Browser) -> None:
    assert browser.get("/conversions").status_code == 303
    assert browser.get("/conversions/export.csv").status_code == 303
