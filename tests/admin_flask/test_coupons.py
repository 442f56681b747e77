"""Settings, coupons: added, moved, removed, found."""

from collections.abc import Callable

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db.conversions import Coupon
from core.db.models import AuditLog, Link
from core.services import domains, links
from core.services.actor import COMMAND
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MORNING

Sit = Callable[..., Browser]


@pytest.fixture
def natal(db: Session) -> Link:
    """go.example.com/natal, on the default domain."""
    domains.add_domain(db, host="go.example.com", actor=COMMAND, now=MORNING)
    return links.create_link(
        db, url="https://shop.example/", slug="Natal", title="Natal", actor=COMMAND, now=MORNING
    )


@pytest.mark.parametrize(
    "address",
    [
        "natal",
        "go.example.com/NATAL",
        " https://go.example.com/natal?utm_source=x#top ",
        "GO.example.com./natal/",
    ],
)
def test_a_marketer_gives_out_a_coupon(sit_down: Sit, db: Session, natal: Link, address: str) -> None:
    browser = sit_down("marketer")
    page = browser.follow(browser.post("/settings/coupons", {"code": " NATAL10 ", "link": address}))
    assert "Sales with “natal10” are credited to go.example.com/Natal." in page.text
    row = db.scalars(select(Coupon)).one()
    assert (row.code, row.link_id) == ("natal10", natal.id)
    assert db.scalars(select(AuditLog.action).where(AuditLog.action.startswith("coupon"))).all() == [
        "coupon.put"
    ]


def test_a_code_moves_to_another_link_and_goes(sit_down: Sit, db: Session, natal: Link) -> None:
    other = links.create_link(db, url="https://shop.example/2", slug="ano-novo", actor=COMMAND, now=MORNING)
    browser = sit_down("admin")
    for slug in ("natal", "ano-novo"):
        browser.post("/settings/coupons", {"code": "festa", "link": slug})
    assert db.scalars(select(Coupon.link_id)).all() == [other.id]
    page = browser.follow(browser.post("/settings/coupons/delete", {"code": "festa"}))
    assert "No coupons yet." in page.text
    assert browser.post("/settings/coupons/delete", {"code": "festa"}).status_code == 404


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"code": "", "link": "natal"}, "Type the code."),
        ({"code": "x" * 101, "link": "natal"}, "A code has 1 to 100 characters"),
        ({"code": "a", "link": ""}, "Paste the short link."),
        ({"code": "a", "link": "nobody"}, "There is no such link."),
        ({"code": "a", "link": "elsewhere.example/natal"}, "There is no such link."),
        ({"code": "a", "link": "not a host/natal"}, "There is no such link."),
    ],
)
def test_it_says_what_is_wrong_and_keeps_what_was_typed(
    sit_down: Sit, db: Session, natal: Link, sent: dict[str, object], words: str
) -> None:
    answer = sit_down("admin").post("/settings/coupons", sent)
    assert answer.status_code == 422
    assert words in answer.text
    assert all(f'value="{value}"' in answer.text for value in sent.values() if value)
    assert db.scalars(select(Coupon)).all() == []


def test_it_finds_a_code_among_many(sit_down: Sit, db: Session, natal: Link) -> None:
    db.add_all([Coupon(code=f"code{number:03}", link_id=natal.id) for number in range(30)])
    db.commit()
    browser = sit_down("support")
    assert "code029" in browser.get("/settings/coupons").text
    page = browser.get("/settings/coupons?q=E01").text
    assert "code010" in page and "code029" not in page
    assert "No code holds “%”." in browser.get("/settings/coupons?q=%25").text


def test_support_only_looks(sit_down: Sit, natal: Link) -> None:
    browser = sit_down("support")
    assert "Add or move a coupon" not in browser.get("/settings/coupons").text
    assert browser.post("/settings/coupons", {"code": "a", "link": "natal"}).status_code == 403
    assert browser.post("/settings/coupons/delete", {"code": "a"}).status_code == 403
