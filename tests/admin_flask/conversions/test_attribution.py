"""Crediting anew: the difference is shown first, and applied by a worker."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from core.config import Settings
from core.db.conversions import Conversion, ConversionHistory, ConversionSource, Coupon
from core.db.models import AuditLog, Link
from core.db.work import Outbox
from core.services import attribution_runs
from tasks.attribution import reattribute
from tasks.registry import Context
from tests.admin_flask.browser import Browser
from tests.admin_flask.conversions.test_list import plain
from tests.admin_flask.links.conftest import MakeLink
from tests.core.db.sales import AT, add_conversion, add_source, new_click_id

Sit = Callable[..., Browser]


@pytest.fixture
def shop(db: Session, make_link: MakeLink) -> tuple[ConversionSource, Link, Link, Conversion]:
    """A customer who came by two links, and bought once more without a click, which the later one is credited with."""
    source = add_source(db)
    first, last = make_link("a", title="First link"), make_link("b", title="Last link")
    for link, days in ((first, 9), (last, 3)):
        at = AT - timedelta(days=days)
        add_conversion(
            db,
            "1",
            source=source,
            link_id=link.id,
            customer_id="maria",
            click_id=new_click_id(at),
            clicked_at=at,
            at=at,
        )
    later = add_conversion(
        db,
        "50",
        "BRL",
        rate="0.2",
        source=source,
        click_id=None,
        link_id=last.id,
        customer_id="maria",
        attributed_by="customer",
        transaction_id="AR-9",
        coupon="tv10",
    )
    return source, first, last, later


def query(source: ConversionSource, **fields: Any) -> dict[str, Any]:
    return {"source": str(source.id), "model": "first", "way": "customer", **fields}


def apply(db: Session, engine: Engine, settings: Settings, valkey: "redis.Redis") -> None:
    """What the worker does with what stands in the outbox."""
    row = db.scalars(select(Outbox).where(Outbox.task == attribution_runs.TASK)).one()
    reattribute(Context(settings=settings, engine=engine, redis=valkey), *row.args)
    db.rollback()
    db.expire_all()


def test_it_shows_the_difference_and_changes_nothing(sit_down: Sit, db: Session, shop: Any) -> None:
    source, _, last, later = shop
    page = plain(sit_down("admin").get("/conversions/reattribute", query_string=query(source)).text)
    assert "1 conversion would be credited otherwise. 1 conversion was looked at." in page
    assert "Last link First link 1 $10.00" in page
    assert "AR-9 Last link, customer First link, customer R$50.00" in page
    assert "Credit 1 anew" in page
    db.expire_all()
    assert later.link_id == last.id


def test_it_applies_what_was_shown(
    sit_down: Sit, db: Session, shop: Any, engine: Engine, settings: Settings, valkey: "redis.Redis"
) -> None:
    source, first, _, later = shop
    browser = sit_down("admin")
    answer = browser.post("/conversions/reattribute", query(source))
    assert answer.status_code == 303
    assert "is still to change" in plain(browser.get(answer.location).text)
    apply(db, engine, settings, valkey)
    assert (later.link_id, later.attributed_by, later.version) == (first.id, "customer", 2)
    assert later.click_id is not None and later.clicked_at == AT - timedelta(days=9)
    version = db.scalars(select(ConversionHistory).where(ConversionHistory.version == 2)).one()
    assert (version.actor, version.actor_name, version.action) == (
        "attribution",
        "Marina Costa",
        "attribution",
    )
    assert version.changed["link_id"][1] == first.id
    part = browser.get(answer.location, htmx=True).text
    assert "Nothing is left to change." in part and "hx-get" not in part
    words = plain(browser.get(f"/conversions/{later.id}").text)
    assert "Credited anew" in words and "Link: Last link → First link" in words
    assert db.scalars(select(AuditLog).where(AuditLog.action == "conversions.reattribute")).one()
    apply(db, engine, settings, valkey)
    assert later.version == 2


def test_coupons_have_the_order_that_was_chosen(
    sit_down: Sit, db: Session, shop: Any, make_link: MakeLink
) -> None:
    source, *_ = shop
    given = make_link("c", title="Coupon link")
    db.add(Coupon(code="tv10", link_id=given.id))
    db.commit()
    browser = sit_down("admin")
    for way, to in (
        ("coupon", "Coupon link, coupon"),
        ("coupon_customer", "Coupon link, coupon"),
        ("customer_coupon", "First link, customer"),
    ):
        page = plain(browser.get("/conversions/reattribute", query_string=query(source, way=way)).text)
        assert f"AR-9 Last link, customer {to}" in page


def test_what_is_certain_or_without_anything_better_stays(sit_down: Sit, db: Session, shop: Any) -> None:
    source, *_ = shop
    browser = sit_down("admin")
    page = plain(browser.get("/conversions/reattribute", query_string=query(source, model="last")).text)
    assert "1 conversion would be" in page  # the click itself is told now, the link is the same
    assert "Nothing would change." in plain(
        browser.get("/conversions/reattribute", query_string=query(source, way="coupon")).text
    )
    old = {"from": "2026-01-01", "to": "2026-01-31"}
    assert "0 conversions were looked at" in plain(
        browser.get("/conversions/reattribute", query_string=query(source, **old)).text
    )


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"from": "2026-11-27", "to": "2026-11-01"}, "Swap them."),
        ({"from": "x"}, "Choose both days."),
        ({"to": "9999-12-31"}, "Choose both days."),
    ],
)
def test_it_says_what_is_wrong_with_the_days(
    sit_down: Sit, db: Session, fields: dict[str, str], why: str
) -> None:
    source = add_source(db)
    answer = sit_down("admin").post("/conversions/reattribute", query(source, **fields))
    assert answer.status_code == 422 and why in answer.text
    assert db.scalars(select(Outbox)).all() == []


def test_it_knows_no_other_source(sit_down: Sit) -> None:
    browser = sit_down("admin")
    assert browser.get("/conversions/reattribute?source=99").status_code == 404
    assert browser.post("/conversions/reattribute", {"source": "99"}).status_code == 404


@pytest.mark.parametrize("role", ["marketer", "support", "viewer"])
def test_only_an_admin_may(sit_down: Sit, role: str) -> None:
    assert sit_down(role).get("/conversions/reattribute").status_code == 403
