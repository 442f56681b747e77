"""A person sets an outgoing postback up in a real Chromium, tries it out, and sends what failed once more."""

import re
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Locator, Page, expect
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from tasks.sending import Sender
from tests.admin_flask.conftest import MORNING
from tests.admin_flask.test_in_browser import CHROMIUM, page, site
from tests.core.db.sending_rows import make_due, make_source
from tests.tasks.receiver import HERE, Receiver, answer, receiving

__all__ = ["page", "site"]  # fixtures

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium on this machine"),
]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def worker(engine: Engine, page: Page) -> Iterator[None]:
    """A worker that sends on what is due by the manager's clock, which stands still."""
    stopping = threading.Event()
    sender = Sender(engine, stopping=stopping, allowed=HERE, clock=lambda: MORNING + timedelta(seconds=1))
    sender.start()
    yield
    sender.stop()


def reload_until(page: Page, rows: Locator, *, count: int) -> None:
    """Look again until so many rows are there: a worker does its part meanwhile."""
    for _ in range(100):
        page.reload()
        if rows.count() == count:
            return
        page.wait_for_timeout(200)
    expect(rows).to_have_count(count)


@pytest.mark.usefixtures("worker")
def test_it_is_made_tried_out_and_looked_at(page: Page, site: str, receiver: Receiver, db: Session) -> None:
    page.goto(f"{site}/settings/sending")
    page.get_by_role("link", name="Add the first one").click()
    page.get_by_label("Name").fill("The ad network")
    page.get_by_label("Address").fill(f"{receiver.url}/in?id={{click_id}}&a={{amount}}&x={{amout}}")
    preview = page.locator("#preview")
    expect(preview).to_contain_text("&a=129.90&x=")
    expect(preview).to_contain_text("{amout} is no macro")
    expect(preview).to_contain_text("private network")
    page.get_by_label("Address").fill(f"{receiver.url}/in?id={{click_id}}&a={{amount}}")
    expect(preview).not_to_contain_text("is no macro")
    page.get_by_role("button", name="Add it").last.click()
    expect(page.get_by_role("heading", name="The ad network")).to_be_visible()

    receiver.answers["/in"] = answer(500, b"no such click")
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_text("The test failed.")).to_be_visible(timeout=30_000)
    expect(page.locator("pre", has_text="no such click")).to_be_visible()
    receiver.answers["/in"] = answer(200, b"thanks")
    page.get_by_role("button", name="Test again").click()
    expect(page.get_by_text("The receiver took it.")).to_be_visible(timeout=30_000)
    assert receiver.sent[-1].target.endswith("&a=129.90")

    receiver.answers["/in"] = answer(410)
    with db.begin():
        make_due(db.connection(), source_id=make_source(db.connection()), now=MORNING, count=2)
    page.get_by_role("link", name="The ad network").click()
    page.locator("#log").get_by_role("link", name="Failed").click()
    expect(page).to_have_url(re.compile("state=failed"))
    reload_until(page, page.locator("#log tbody tr", has_text="answered 410"), count=2)
    receiver.answers["/in"] = answer(200, b"thanks")
    page.get_by_text("Send the failed ones once more").click()
    page.get_by_role("button", name="Last hour (2)").click()
    expect(page.get_by_role("status").get_by_text("2 deliveries are sent once more.")).to_be_visible()
    reload_until(page, page.locator("#log tbody tr", has_text="Taken"), count=3)
    page.locator("#log tbody tr", has_text="sent once more").first.click()
    expect(page.get_by_text("The receiver took it.")).to_be_visible()
    expect(page.get_by_role("link", name="The delivery that it repeats")).to_be_visible()


def test_it_fits_a_phone(page: Page, site: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("", "/new"):
        page.goto(f"{site}/settings/sending{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
