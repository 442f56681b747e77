"""The pages about sending on: who sees and does what, what is asked for, and what comes back from a form."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core.db.conversions import Webhook, WebhookDelivery
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MORNING
from tests.core.db.sending_rows import make_due, make_source, make_webhook

Sit = Callable[..., Browser]
FORM = {
    "name": "Ads",
    "url": "https://ads.example/in?id={click_id}&a={amount}",
    "method": "GET",
    "content_type": "application/json",
    "body": "",
    "headers": "",
    "secret": "",
    "statuses": ["approved", "rejected"],
    "events": "",
    "source_id": "",
    "campaign_id": "",
    "link": "",
    "percentage": "100",
    "delay_s": "0",
}


@pytest.fixture
def hook(db: Session) -> int:
    """A webhook with three deliveries: one taken, one that failed, one that waits."""
    connection = db.connection()
    source = make_source(connection)
    webhook = make_webhook(connection, name="Ads", secret="a secret of ours")
    make_due(connection, source_id=source, now=MORNING - timedelta(minutes=5), count=3)
    first, second, _ = db.scalars(select(WebhookDelivery.id).order_by(WebhookDelivery.id))
    for delivery_id, state, status in ((first, "done", 200), (second, "failed", 500)):
        values = {
            "state": state,
            "next_try": None,
            "ended_at": MORNING,
            "attempts": 1,
            "method": "GET",
            "url": "https://hooks.example/in?id=1",
            "response_status": status,
            "response_body": "<b>thanks</b>",
            "error": "" if status == 200 else "It answered 500.",
            "ms": 12,
            "tries": [{"at": MORNING.isoformat(), "status": status, "ms": 12, "error": ""}],
        }
        db.execute(update(WebhookDelivery).where(WebhookDelivery.id == delivery_id).values(**values))
    db.commit()
    return webhook


def test_it_begins_with_the_way_to_the_first(sit_down: Sit) -> None:
    page = sit_down().get("/settings/sending")
    assert page.status_code == 200
    assert "Add the first one" in page.text


def test_it_makes_one_and_shows_it(sit_down: Sit, db: Session) -> None:
    browser = sit_down()
    assert "Type an address" in browser.get("/settings/sending/new").text
    page = browser.follow(browser.post("/settings/sending/new", FORM))
    assert "Ads" in page.text and "approved, rejected" in page.text
    [row] = db.scalars(select(Webhook)).all()
    assert row.url == FORM["url"]
    assert "https://ads.example/in" in browser.get("/settings/sending").text


def test_it_warns_of_what_was_saved(sit_down: Sit) -> None:
    browser = sit_down()
    url = "http://10.0.0.7/in?a={amont}"
    page = browser.follow(browser.post("/settings/sending/new", {**FORM, "url": url})).text
    assert "{amont} is no macro" in page and "private network" in page


def test_what_was_typed_stays_when_something_is_wrong(sit_down: Sit, db: Session) -> None:
    browser = sit_down()
    answer = browser.post(
        "/settings/sending/new",
        {
            **FORM,
            "url": "ads.example/in",
            "percentage": "many",
            "headers": "X-Key: 1",
            "statuses": ["pending"],
        },
    )
    assert answer.status_code == 422
    assert "Type a whole number." in answer.text
    answer = browser.post("/settings/sending/new", {**FORM, "url": "ads.example/in", "headers": "X-Key: 1"})
    assert answer.status_code == 422
    assert "The address must start with https:// or http://." in answer.text
    assert "X-Key: 1" in answer.text and 'value="ads.example/in"' in answer.text
    assert db.scalars(select(Webhook)).all() == []


def test_it_makes_a_secret_without_saving(sit_down: Sit, db: Session) -> None:
    answer = sit_down().post("/settings/sending/new", {**FORM, "do": "new-secret"})
    assert answer.status_code == 200
    assert 'value="rs_' in answer.text
    assert db.scalars(select(Webhook)).all() == []


def test_it_saves_unless_somebody_else_did(sit_down: Sit, db: Session, hook: int) -> None:
    browser = sit_down()
    page = browser.get(f"/settings/sending/{hook}/edit")
    assert 'name="version" type="hidden" value="1"' in page.text
    saved = browser.post(f"/settings/sending/{hook}/edit", {**FORM, "version": "1"})
    assert saved.status_code == 303
    stale = browser.post(f"/settings/sending/{hook}/edit", {**FORM, "name": "Mine", "version": "1"})
    assert stale.status_code == 422
    assert "Marina Costa saved it" in stale.text and 'value="Mine"' in stale.text
    over = browser.post(
        f"/settings/sending/{hook}/edit", {**FORM, "name": "Mine", "version": "1", "over": "2"}
    )
    assert over.status_code == 303
    assert db.scalar(select(Webhook.name)) == "Mine"


def test_it_previews_what_is_typed(sit_down: Sit, hook: int) -> None:
    browser = sit_down()
    shown = browser.post("/settings/sending/preview", {**FORM, "name": ""}, htmx=True).text
    assert "https://ads.example/in?id=" in shown and "&amp;a=129.90" in shown
    assert "the last one that it would be told of" in shown
    shown = browser.post(
        "/settings/sending/preview", {**FORM, "url": "http://10.0.0.7/?a={amont}"}, htmx=True
    ).text
    assert "{amont} is no macro" in shown and "private network" in shown
    shown = browser.post("/settings/sending/preview", {**FORM, "url": "https://{cost}/"}, htmx=True).text
    assert "Macros can stand after" in shown
    shown = browser.post(
        "/settings/sending/preview", {**FORM, "method": "POST", "body": '{"a": {nothing}}'}, htmx=True
    ).text
    assert "no JSON" in shown
    assert "Type an address" in browser.post("/settings/sending/preview", {**FORM, "url": ""}, htmx=True).text


def test_it_shows_the_log_by_state(sit_down: Sit, hook: int) -> None:
    browser = sit_down()
    page = browser.get(f"/settings/sending/{hook}").text
    assert page.count("<tr data-href") == 3
    assert "answered 200" in page and "answered 500" in page and "not tried yet" in page
    failed = browser.get(f"/settings/sending/{hook}?state=failed", htmx=True)
    assert failed.text.count("<tr data-href") == 1 and "<html" not in failed.text
    nothing = browser.get(f"/settings/sending/{hook}?state=skipped&period=hour&conversion=%231").text
    assert "Nothing matches." in nothing
    assert (
        browser.get(f"/settings/sending/{hook}?state=no&period=no&conversion=x&before=-1").status_code == 200
    )


def test_it_shows_a_delivery_with_request_answer_and_attempts(sit_down: Sit, hook: int) -> None:
    page = sit_down().get(f"/settings/sending/{hook}/deliveries/1").text
    assert "The receiver took it." in page and "It answered 200 in 12 ms." in page
    assert "https://hooks.example/in?id=1" in page and "rastro-delivery-1" in page
    assert "&lt;b&gt;thanks&lt;/b&gt;" in page
    assert "every 1s" not in page


def test_it_asks_again_while_a_worker_is_about_to_send(sit_down: Sit, hook: int) -> None:
    browser = sit_down()
    page = browser.get(f"/settings/sending/{hook}/deliveries/3").text
    assert "A worker sends it now." in page and "every 1s" in page
    again = browser.get(f"/settings/sending/{hook}/deliveries/3/live", htmx=True)
    assert "A worker sends it now." in again.text and "<html" not in again.text


def test_a_test_is_asked_for_and_shown(sit_down: Sit, db: Session, hook: int) -> None:
    browser = sit_down()
    page = browser.follow(browser.post(f"/settings/sending/{hook}/test"))
    assert "with made-up values" in page.text
    assert db.scalar(select(WebhookDelivery.kind).order_by(WebhookDelivery.id.desc()).limit(1)) == "test"


def test_one_and_all_are_sent_once_more(sit_down: Sit, db: Session, hook: int) -> None:
    browser = sit_down()
    page = browser.get(f"/settings/sending/{hook}").text
    assert "Last hour (1)" in page
    done = browser.follow(browser.post(f"/settings/sending/{hook}/resend", {"period": "hour"}))
    assert "1 delivery is sent once more." in done.text
    late = browser.follow(browser.post(f"/settings/sending/{hook}/resend", {"period": "hour"}))
    assert "somebody was faster" in late.text
    page = browser.follow(browser.post(f"/settings/sending/{hook}/deliveries/1/resend"))
    assert "Sent once more by hand." in page.text
    resent = select(WebhookDelivery.resent_from).where(WebhookDelivery.kind == "resend")
    assert db.scalars(resent.order_by(WebhookDelivery.id)).all() == [2, 1]
    assert browser.post(f"/settings/sending/{hook}/resend", {"period": "ever"}).status_code == 400


def test_it_is_switched_off_and_on_and_deleted(sit_down: Sit, db: Session, hook: int) -> None:
    browser = sit_down()
    page = browser.follow(browser.post(f"/settings/sending/{hook}/off"))
    assert "Ads is off." in page.text and "Switch on" in page.text
    page = browser.follow(browser.post(f"/settings/sending/{hook}/on"))
    assert "Ads is on." in page.text
    page = browser.follow(browser.post(f"/settings/sending/{hook}/delete"))
    assert "Ads was deleted." in page.text
    assert db.scalars(select(Webhook)).all() == []


def test_it_says_when_a_failing_one_is_tried_again(sit_down: Sit, db: Session, hook: int) -> None:
    db.execute(update(Webhook).values(failures=3, paused_until=MORNING + timedelta(minutes=4)))
    db.commit()
    page = sit_down().get(f"/settings/sending/{hook}").text
    assert "The last 3 attempts failed." in page
    assert "It is tried again at 12:04, by one attempt at a time." in page


def test_it_says_why_rastro_switched_it_off(sit_down: Sit, db: Session, hook: int) -> None:
    db.execute(update(Webhook).values(is_active=False, disabled_at=MORNING, failures=20))
    db.commit()
    browser = sit_down()
    page = browser.get(f"/settings/sending/{hook}").text
    assert "Rastro switched it off after 20 failures in a row." in page
    assert "1 conversion waits, and is sent when it is switched on again." in page
    assert "Switched off by failures" in browser.get("/settings/sending").text


@pytest.mark.parametrize("role", ["marketer", "support"])
def test_who_may_only_look_changes_nothing_and_sees_no_keys(
    sit_down: Sit, db: Session, hook: int, role: str
) -> None:
    db.execute(update(Webhook).values(settings={"headers": [["Authorization", "Bearer k3y"]]}))
    db.commit()
    browser = sit_down(role)
    for path in ("", f"/{hook}", f"/{hook}/deliveries/1"):
        page = browser.get(f"/settings/sending{path}")
        assert page.status_code == 200
        assert "Send a test" not in page.text and "Send once more" not in page.text
        assert "k3y" not in page.text and "a secret of ours" not in page.text
    assert browser.get("/settings/sending/new").status_code == 403
    assert browser.get(f"/settings/sending/{hook}/edit").status_code == 403
    for path in (
        "new",
        "preview",
        *(f"{hook}/{what}" for what in ("edit", "test", "resend", "off", "delete")),
    ):
        assert browser.post(f"/settings/sending/{path}", FORM).status_code == 403
    assert browser.post(f"/settings/sending/{hook}/deliveries/1/resend").status_code == 403


def test_a_viewer_sees_nothing_of_it(sit_down: Sit, hook: int) -> None:
    browser = sit_down("viewer")
    for path in ("", f"/{hook}", f"/{hook}/deliveries/1", f"/{hook}/deliveries/1/live"):
        assert browser.get(f"/settings/sending{path}").status_code == 403


def test_what_is_not_there_is_no_page(sit_down: Sit, db: Session, hook: int) -> None:
    browser = sit_down()
    other = make_webhook(db.connection(), name="Other")
    db.commit()
    for path in ("/99", "/99/edit", "/99/deliveries/1", f"/{other}/deliveries/1", f"/{hook}/deliveries/99"):
        assert browser.get(f"/settings/sending{path}").status_code == 404
    for path in ("/99/test", "/99/on", "/99/delete", "/99/deliveries/1/resend"):
        assert browser.post(f"/settings/sending{path}").status_code == 404
    assert browser.post("/settings/sending/99/resend", {"period": "day"}).status_code == 404
