"""What people do with conversions, in a real Chromium: a status with a reason, an upload, an export, the way to a click
and back."""

import csv
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from playwright.sync_api import Page, expect
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from core.config import Settings
from core.contracts import keys
from core.db.conversions import Conversion
from core.db.models import Link
from tasks.postbacks import make_handler
from tests.admin_flask.conftest import MORNING
from tests.admin_flask.links.conftest import Click, MakeLink
from tests.admin_flask.test_in_browser import CHROMIUM, page, site
from tests.core.db.sales import add_conversion, add_source

__all__ = ["page", "site"]  # fixtures

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium on this machine"),
]


@pytest.fixture
def link(make_link: MakeLink) -> Link:
    return make_link("bf-tv", title="Smart TV 4K")


@pytest.fixture
def clicked(db: Session, link: Link, click: Click) -> str:
    """The id of a click that is stored."""
    click(link, MORNING - timedelta(minutes=40))
    found = str(db.scalars(text("select id from clicks")).one())
    db.commit()
    return found


@pytest.fixture
def sold(db: Session, link: Link, clicked: str) -> Conversion:
    return add_conversion(
        db, "2199", "BRL", rate="0.2", link_id=link.id, click_id=clicked, transaction_id="AR-118402"
    )


@pytest.mark.parametrize("width", [1440, 390])
def test_a_status_is_changed_with_a_reason(page: Page, site: str, sold: Conversion, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{site}/conversions")
    page.get_by_role("link", name="AR-118402").click()
    page.get_by_text("Change the status", exact=True).click()
    page.get_by_label("Status").select_option("Refunded")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Reason")).to_be_focused()
    expect(page.get_by_label("Status")).to_have_value("refunded")
    page.get_by_label("Reason").fill("The customer sent it back.")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status").get_by_text("The conversion is refunded now.")).to_be_visible()
    expect(page.get_by_text("“The customer sent it back.”")).to_be_visible()
    page.get_by_label("Where you are").get_by_role("link", name="Conversions").click()
    expect(page.get_by_text("1 rejected or refunded")).to_be_visible()


def test_rows_are_uploaded_without_the_bad_one(
    page: Page,
    site: str,
    db: Session,
    engine: Engine,
    settings: Settings,
    valkey: "redis.Redis",
    clicked: str,
    tmp_path: Path,
) -> None:
    add_source(db)
    add_conversion(db, transaction_id="before")
    file = tmp_path / "vendas.csv"
    file.write_text(
        f"subid;tid;payout\n{clicked};AR-1;1.234,50\n{clicked};AR-2;much\n{clicked};AR-3;5\n", "utf-8"
    )
    page.goto(f"{site}/conversions")
    page.get_by_role("link", name="Upload").click()
    page.get_by_label("Or a file").set_input_files(file)
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("2 rows can be sent.")).to_be_visible()
    expect(page.get_by_role("row", name="3 “much” is no amount.")).to_be_visible()
    expect(page.get_by_role("cell", name="R$1,234.50")).to_be_visible()
    page.get_by_role("button", name="Send 2 rows").click()
    expect(page.get_by_text("0 of 2 rows are judged.")).to_be_visible()
    entries = [fields[keys.EVENT_FIELD] for _, fields in valkey.xrange(keys.stream("conversion"))]
    make_handler(settings, engine, process_name="t")(entries)
    expect(page.get_by_text("All 2 rows are judged.")).to_be_visible()
    expect(page.get_by_role("row", name="Conversion 2")).to_be_visible()
    page.get_by_role("link", name="To the conversions").click()
    expect(page.get_by_role("link", name="AR-3")).to_be_visible()


def test_a_filtered_list_is_exported(page: Page, site: str, db: Session, sold: Conversion) -> None:
    add_conversion(db, status="rejected", transaction_id="AR-7")
    page.goto(f"{site}/conversions")
    page.get_by_text("Status", exact=True).first.click()
    page.get_by_role("link", name="Approved").click()
    expect(page.get_by_role("link", name="AR-7")).to_have_count(0)
    assert page.url.endswith("/conversions?status=approved")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Export").click()
    assert waiting.value.suggested_filename == "conversions-2026-11-27-UTC.csv"
    with open(waiting.value.path(), encoding="utf-8-sig", newline="") as file:
        assert [row["transaction_id"] for row in csv.DictReader(file)] == ["AR-118402"]


def test_a_search_finds_as_one_types(
    page: Page, site: str, db: Session, sold: Conversion, clicked: str
) -> None:
    add_conversion(db, transaction_id="ZZ-1")
    page.goto(f"{site}/conversions")
    page.get_by_placeholder("Order, click id or customer").fill("zz")
    expect(page.get_by_role("link", name="AR-118402")).to_have_count(0)
    page.get_by_placeholder("Order, click id or customer").fill(clicked)
    expect(page.get_by_role("link", name="AR-118402")).to_be_visible()
    expect(page.get_by_role("link", name="ZZ-1")).to_have_count(0)


def test_the_way_leads_to_the_click_and_back(page: Page, site: str, sold: Conversion, clicked: str) -> None:
    page.goto(f"{site}/conversions/{sold.id}")
    page.get_by_role("link", name=clicked).click()
    expect(page.get_by_text("Counted as a unique click, and it led to a conversion.")).to_be_visible()
    page.get_by_role("link", name="see it").click()
    page.wait_for_url(f"**/conversions/{sold.id}")
    page.get_by_role("link", name="Smart TV 4K").click()
    expect(page.get_by_text("100.0%, $439.80")).to_be_visible()


def test_a_click_id_is_pasted(page: Page, site: str, clicked: str) -> None:
    page.goto(f"{site}/clicks")
    page.get_by_placeholder("Paste a click id").fill("bf-tv")
    page.keyboard.press("Enter")
    expect(page.get_by_text("That is no click id.")).to_be_visible()
    page.get_by_placeholder("Paste a click id").fill(clicked.upper())
    page.get_by_role("button", name="Open").click()
    page.wait_for_url(f"**/clicks/{clicked}")
