"""The inbox in a real Chromium: search, open, replay; change the fields, see the difference, save, replay all."""

from datetime import timedelta
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from core.config import Settings
from core.db.conversions import Conversion, ConversionSource
from core.db.work import Outbox
from core.domain.conversions import NO_CLICK
from core.services.postback_replay import TASK, go_on
from tests.admin_flask.conftest import MORNING
from tests.admin_flask.test_in_browser import CHROMIUM, page, site
from tests.core.services.inbox import postback

__all__ = ["page", "site"]  # fixtures

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium on this machine"),
]

PHONE = {"width": 390, "height": 844}


def lost(db: Session, shop: ConversionSource, clicked: UUID, order: str, *, seconds: int = 0) -> UUID:
    """A sale whose click id comes under a name that nobody looks at."""
    query = f"aff_sub={clicked}&valor=100,00&pedido={order}&status=aprovado"
    at = MORNING - timedelta(minutes=1, seconds=seconds)
    return postback(db, query, at=at, of=shop, verdict=NO_CLICK, why={"code": "no_click_id"})


def conversions(db: Session) -> int:
    db.rollback()
    return db.scalar(select(func.count()).select_from(Conversion)) or 0


def test_it_finds_a_sale_opens_it_and_replays_it(
    page: Page, site: str, db: Session, shop: ConversionSource, clicked: UUID
) -> None:
    query = f"subid={clicked}&valor=2.199,00&pedido=AR-118402&status=aprovado"
    postback(
        db, query, at=MORNING - timedelta(days=3), of=shop, verdict=NO_CLICK, why={"code": "unknown_click"}
    )
    lost(db, shop, clicked, "AR-7")
    page.goto(f"{site}/postbacks")
    expect(page.get_by_text("AR-7")).to_be_visible()
    page.get_by_placeholder("Order, click id or any value").fill("ar-118402")
    expect(page.get_by_text("AR-7")).to_have_count(0)
    page.get_by_role("link", name="Loja online").click()
    expect(page.get_by_role("heading", name="Loja online")).to_be_visible()
    trial = page.locator("#trial")
    expect(trial.get_by_text("it would make a conversion of R$2,199.00")).to_be_visible()
    trial.get_by_role("button", name="Replay").click()
    expect(page.get_by_text("One new conversion: R$2,199.00 for Smart TV 4K.")).to_be_visible()
    expect(page.locator("#trial").get_by_text("nothing would change")).to_be_visible()
    assert conversions(db) == 1


def test_it_is_walked_by_keys_and_shows_new_rows_by_itself(
    page: Page, site: str, db: Session, shop: ConversionSource, clicked: UUID
) -> None:
    for n in range(3):
        lost(db, shop, clicked, f"K-{n}", seconds=n)
    page.goto(f"{site}/postbacks")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#detail")).to_contain_text("K-1")
    expect(page.locator("tr.open")).to_contain_text("K-1")
    expect(page.locator("#trial")).to_contain_text("Same request")  # the page is as it will stay
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_have_count(0)
    expect(page.locator("tr", has_text="K-1").get_by_role("link")).to_be_focused()
    page.go_back()
    expect(page.locator("#detail")).to_contain_text("K-1")
    lost(db, shop, clicked, "K-new", seconds=-5)
    expect(page.locator("#list")).to_contain_text("K-new", timeout=20_000)
    expect(page.locator("#tabs")).to_contain_text("4")
    expect(page.locator("#detail")).to_contain_text("K-1")


def test_it_changes_the_fields_shows_the_difference_and_replays_all(
    page: Page,
    site: str,
    db: Session,
    engine: Engine,
    settings: Settings,
    shop: ConversionSource,
    clicked: UUID,
) -> None:
    ids = [lost(db, shop, clicked, f"M-{n}", seconds=n) for n in range(3)]
    page.goto(f"{site}/postbacks/{ids[0]}")
    page.get_by_role("link", name="Change the fields and try").click()
    expect(page.get_by_role("row", name="aff_sub")).to_be_visible()
    page.get_by_label("Click id").fill("subid, aff_sub")
    page.get_by_text("last 24 hours").click()
    page.get_by_role("button", name="Try", exact=True).click()
    expect(page.get_by_text("3 of 3 postbacks would be judged otherwise.")).to_be_visible()
    expect(page.get_by_text("R$300.00 more")).to_be_visible()
    assert conversions(db) == 0
    expect(page.get_by_label("Click id")).to_have_value("subid, aff_sub")
    page.get_by_role("button", name="Save these fields and replay all").click()
    expect(page.get_by_text("0 of 3 postbacks are judged again.")).to_be_visible()
    (task,) = db.scalars(select(Outbox).where(Outbox.task == TASK)).all()
    while go_on(engine, task.args[0], now=MORNING, report_currency=settings.report_currency):
        pass
    expect(page.get_by_text("Done: 3 postbacks were judged again.")).to_be_visible(timeout=10_000)
    assert conversions(db) == 3
    page.get_by_role("link", name="See its postbacks").click()
    expect(page.get_by_role("link", name="Conversions 3")).to_be_visible()


def test_it_fits_a_phone(page: Page, site: str, db: Session, shop: ConversionSource, clicked: UUID) -> None:
    id = lost(db, shop, clicked, "AR-2026-118402-with-a-long-tail")
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    for path in ("", f"/{id}", f"/sources/{shop.id}/try?postback={id}"):
        page.goto(f"{site}/postbacks{path}")
        expect(page.locator("h1")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.goto(f"{site}/postbacks")
    page.get_by_text("AR-2026-118402-with-a-long-tail").click()
    expect(page.locator("#list")).to_be_hidden()
    page.get_by_label("Back to the list").click()
    expect(page.locator("#list")).to_be_visible()
