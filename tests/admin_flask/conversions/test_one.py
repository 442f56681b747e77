"""One conversion: its trail and history, and a status set with a reason."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db.conversions import ConversionHistory, Webhook, WebhookDelivery
from core.db.models import AuditLog
from core.domain import sending
from core.services import conversions as service
from core.services.actor import COMMAND
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MORNING
from tests.admin_flask.conversions.test_list import plain
from tests.admin_flask.links.conftest import MakeLink
from tests.core.db.sales import AT, add_conversion, add_postback, new_click_id

Sit = Callable[..., Browser]


def test_it_tells_how_it_came_about(sit_down: Sit, db: Session, make_link: MakeLink) -> None:
    link = make_link("bf-tv", title="Smart TV 4K")
    click = new_click_id(AT - timedelta(minutes=2, seconds=9))
    row = add_conversion(
        db,
        "2199",
        "BRL",
        rate="0.2",
        link_id=link.id,
        click_id=click,
        clicked_at=AT - timedelta(minutes=2),
        transaction_id="AR-118402",
        customer_id="maria",
        fields={"loja": "<online>"},
    )
    add_postback(db, conversion_id=row.id, click_id=click)
    page = sit_down("support").get(f"/conversions/{row.id}").text
    words = plain(page)
    assert f"/clicks/{click}" in page
    assert f"/links/{link.id}" in page
    assert "Credited 2 min after the click Smart TV 4K , by click id" in words
    assert "Approved 27 Nov" in words and "It counts in the reports." in words
    assert "$439.80" in words and "at 0.2" in words
    assert "loja &lt;online&gt;" in words
    assert "Came 27 Nov" in words


def test_a_viewer_sees_no_way_to_change_it(sit_down: Sit, db: Session) -> None:
    row = add_conversion(db)
    viewer = sit_down("viewer")
    page = viewer.get(f"/conversions/{row.id}").text
    assert "Change the status" not in page and f"/clicks/{row.click_id}" not in page
    assert (
        viewer.post(f"/conversions/{row.id}/status", {"status": "rejected", "reason": "x"}).status_code == 403
    )


def test_it_sets_a_status_with_a_reason(sit_down: Sit, db: Session) -> None:
    row = add_conversion(db)
    hook = Webhook(
        name="CRM",
        url="https://crm.example",
        settings=sending.stored(sending.SendingSettings(statuses=("rejected",))),
    )
    db.add(hook)
    db.commit()
    browser = sit_down("support")
    answer = browser.post(
        f"/conversions/{row.id}/status",
        {"status": "rejected", "reason": " The customer  sent it back. ", "version": "1"},
    )
    page = plain(browser.follow(answer).text)
    assert "Saved. The conversion is rejected now." in page
    assert (
        "Status set" in page
        and "Status: approved → rejected “The customer sent it back.” Marina Costa" in page
    )
    db.expire_all()
    assert (row.status, row.version) == ("rejected", 2)
    version = db.scalars(select(ConversionHistory).where(ConversionHistory.version == 2)).one()
    assert (version.changed, version.reason) == (
        {"status": ["approved", "rejected"]},
        "The customer sent it back.",
    )
    audit = db.scalars(select(AuditLog).where(AuditLog.action == "conversion.status")).one()
    assert audit.subject == f"conversion:{row.id}" and audit.detail["reason"] == "The customer sent it back."
    told = db.scalars(select(WebhookDelivery)).one()
    assert (told.conversion_id, told.conversion_version) == (row.id, 2)
    assert "CRM" in browser.get(f"/conversions/{row.id}").text


def test_it_wants_a_reason_and_keeps_what_was_chosen(sit_down: Sit, db: Session) -> None:
    row = add_conversion(db)
    answer = sit_down("support").post(
        f"/conversions/{row.id}/status", {"status": "refunded", "reason": "  ", "version": "1"}
    )
    assert answer.status_code == 422
    assert "Say why" in answer.text
    assert re.search(r'<option selected value="refunded">', answer.text)
    db.expire_all()
    assert row.status == "approved"


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "sold", "reason": "x"},
        {"status": "approved", "reason": "x"},
        {"status": "rejected", "reason": "x" * 501},
    ],
)
def test_it_refuses_what_can_not_be(sit_down: Sit, db: Session, fields: dict[str, object]) -> None:
    row = add_conversion(db)
    answer = sit_down("admin").post(f"/conversions/{row.id}/status", {**fields, "version": "1"})
    assert answer.status_code == 422
    db.expire_all()
    assert row.version == 1


def test_two_people_do_not_overwrite_each_other(sit_down: Sit, db: Session) -> None:
    row = add_conversion(db)
    browser = sit_down("admin")
    service.set_status(
        db, conversion_id=row.id, status="rejected", reason="fraud", actor=COMMAND, now=MORNING
    )
    answer = browser.post(
        f"/conversions/{row.id}/status", {"status": "refunded", "reason": "they asked", "version": "1"}
    )
    assert answer.status_code == 422
    words = plain(answer.text)
    assert "command changed this conversion while you looked at it." in words
    assert "they asked" in answer.text
    assert 'name="version" type="hidden" value="2"' in answer.text
    again = browser.post(
        f"/conversions/{row.id}/status", {"status": "refunded", "reason": "they asked", "version": "2"}
    )
    assert again.status_code == 303
    db.expire_all()
    assert row.status == "refunded"


def test_it_says_why_it_does_not_count(sit_down: Sit, db: Session) -> None:
    late, unrated = add_conversion(db, is_late=True), add_conversion(db, "5", "ARS", rate=None)
    browser = sit_down("viewer")
    assert "It came after the source&#39;s window" in browser.get(f"/conversions/{late.id}").text
    assert "no exchange rate is known for ARS" in browser.get(f"/conversions/{unrated.id}").text


@pytest.mark.parametrize("path", ["/conversions/404", "/conversions/x", "/conversions/99999999999999999999"])
def test_it_knows_no_other(sit_down: Sit, path: str) -> None:
    assert sit_down("admin").get(path).status_code == 404
