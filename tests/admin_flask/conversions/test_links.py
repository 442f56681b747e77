"""What a link's report says of its conversions."""

import re
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy.orm import Session

from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MORNING
from tests.admin_flask.conversions.test_list import orders, plain
from tests.admin_flask.links.conftest import Click, MakeLink
from tests.core.db.sales import AT, add_conversion

Sit = Callable[..., Browser]


def test_a_link_shows_what_it_sold(sit_down: Sit, db: Session, make_link: MakeLink, click: Click) -> None:
    link = make_link("bf-tv")
    click(link, *(MORNING - timedelta(minutes=n) for n in range(8)))
    add_conversion(db, "100", link_id=link.id, transaction_id="A")
    add_conversion(db, "50", "BRL", rate=None, link_id=link.id, status="pending", transaction_id="B")
    add_conversion(db, "1000", link_id=link.id, status="rejected", transaction_id="C")
    add_conversion(db, "1000", link_id=link.id, at=AT - timedelta(days=20), transaction_id="D")
    browser = sit_down("viewer")
    page = browser.get(f"/links/{link.id}").text
    assert "Conversions 2 25.0%, $100.00" in plain(page)
    assert "1 without an exchange rate are not in the revenue" in page
    href = re.search(r'href="(/conversions\?[^"]+)"', page)
    assert href
    assert orders(browser.get(href[1].replace("&amp;", "&")).text) == ["C", "B", "A"]


def test_a_link_that_sold_nothing_has_no_such_figure(
    sit_down: Sit, make_link: MakeLink, click: Click
) -> None:
    link = make_link("bf-tv")
    click(link, MORNING)
    assert 'href="/conversions?' not in sit_down("viewer").get(f"/links/{link.id}").text


def test_a_sale_shows_by_itself(sit_down: Sit, db: Session, make_link: MakeLink, click: Click) -> None:
    link = make_link("bf-tv")
    click(link, MORNING)
    browser = sit_down("viewer")
    poll = re.search(r'data-poll hx-get="([^"]+)"', browser.get(f"/links/{link.id}").text)
    assert poll
    address = poll[1].replace("&amp;", "&")
    assert browser.get(address, htmx=True).status_code == 204
    add_conversion(db, "100", link_id=link.id)
    assert "$100.00" in browser.get(address, htmx=True).text
