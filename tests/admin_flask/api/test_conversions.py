"""Conversions by the API: list, read, set a status, send; and the figures of a report."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from admin_flask.api.shapes import money_json
from core.config import Settings
from core.contracts import keys, postback_event
from core.db.conversions import Conversion, Postback
from core.db.models import Domain, Link
from core.services import links
from core.services.actor import COMMAND
from tasks.postbacks import make_handler
from tests.admin_flask.api.conftest import Caller, errors, problem
from tests.admin_flask.conftest import MORNING
from tests.core.db.sales import AT, add_conversion, add_source, new_click_id

CallAs = Callable[[str], Caller]


@pytest.fixture
def link(db: Session, domain: Domain) -> Link:
    """Slug `a`."""
    return links.create_link(db, url="https://example.com", slug="a", actor=COMMAND, now=MORNING)


def test_it_lists_page_by_page(call_as: CallAs, db: Session, link: Link) -> None:
    made = [
        add_conversion(db, str(n), link_id=link.id, transaction_id=f"T{n}", at=AT - timedelta(days=n))
        for n in range(5)
    ]
    add_conversion(db, "9", status="rejected", at=AT - timedelta(days=40))
    api = call_as("viewer")
    body = api.get("/conversions", link_id=link.id, limit=3).get_json()
    assert [item["transaction_id"] for item in body["items"]] == ["T0", "T1", "T2"]
    rest = api.get("/conversions", link_id=link.id, limit=3, cursor=body["next"]).get_json()
    assert ([item["transaction_id"] for item in rest["items"]], rest["next"]) == (["T3", "T4"], None)
    assert len(api.get("/conversions").get_json()["items"]) == 6
    assert (
        len(api.get("/conversions", status="rejected", late="false", rated="true").get_json()["items"]) == 1
    )
    some = api.get("/conversions", from_="2026-11-25", to="2026-11-27", tz="America/Sao_Paulo").get_json()[
        "items"
    ]
    assert [item["transaction_id"] for item in some] == ["T1", "T2"]
    up = api.get("/conversions", sort="amount", order="asc", q="T").get_json()["items"]
    assert [item["id"] for item in up] == [row.id for row in made]


def test_it_reads_one(call_as: CallAs, db: Session, link: Link) -> None:
    click_id = new_click_id()
    row = add_conversion(
        db,
        "2199.9",
        "BRL",
        rate="0.2",
        link_id=link.id,
        click_id=click_id,
        clicked_at=AT,
        fields={"shop": "7"},
        variant=3,
    )
    body = call_as("viewer").get(f"/conversions/{row.id}").get_json()
    history = body.pop("history")
    assert body == {
        "id": row.id,
        "source_id": row.source_id,
        "source": "Loja",
        "transaction_id": row.transaction_id,
        "event": "sale",
        "status": "approved",
        "counts": True,
        "rebill": False,
        "repeat": 0,
        "late": False,
        "at": "2026-11-27T11:30:00+00:00",
        "link_id": link.id,
        "rule_id": None,
        "variant_id": 3,
        "click_id": str(click_id),
        "clicked_at": "2026-11-27T11:30:00+00:00",
        "attributed_by": "click",
        "revenue": {"amount": "2199.90", "currency": "BRL"},
        "payout": {"amount": "0.00", "currency": "BRL"},
        "cost": {"amount": "0.00", "currency": "BRL"},
        "report_revenue": {"amount": "439.98", "currency": "USD"},
        "report_payout": {"amount": "0.00", "currency": "USD"},
        "report_cost": {"amount": "0.00", "currency": "USD"},
        "rate": "0.2",
        "customer_id": "",
        "coupon": "",
        "fields": {"shop": "7"},
        "version": 1,
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
    }
    assert [(version["version"], version["action"]) for version in history] == [(1, "create")]
    assert problem(call_as("support").get("/conversions/99"))["status"] == 404


def test_it_sets_a_status(call_as: CallAs, db: Session) -> None:
    row, api = add_conversion(db, "5", "ARS", rate=None), call_as("support")
    body = api.patch(f"/conversions/{row.id}", status="refunded", reason="sent back", version=1).get_json()
    assert (body["status"], body["counts"], body["version"], body["report_revenue"]) == (
        "refunded",
        False,
        2,
        None,
    )
    assert body["history"][0]["reason"] == "sent back" and body["history"][0]["actor"].startswith("key:")
    stale = problem(api.patch(f"/conversions/{row.id}", status="approved", reason="x", version=1))
    assert (stale["status"], stale["code"], stale["editor"], stale["current"]["version"]) == (
        409,
        "stale_version",
        "support's key",
        2,
    )
    assert set(errors(api.patch(f"/conversions/{row.id}", status="sold"))) == {"status", "reason"}
    assert set(errors(api.patch(f"/conversions/{row.id}", status="approved", reason=" "))) == {"reason"}
    assert set(errors(api.patch(f"/conversions/{row.id}", status="refunded", reason="x"))) == {"status"}
    assert problem(api.patch("/conversions/99", status="approved", reason="x"))["status"] == 404


@pytest.mark.parametrize("role", ["marketer", "viewer"])
def test_only_some_may_change_or_send(call_as: CallAs, db: Session, role: str) -> None:
    row, api = add_conversion(db), call_as(role)
    assert problem(api.patch(f"/conversions/{row.id}", status="rejected", reason="x"))["status"] == 403
    assert problem(api.post("/conversions", source="Loja", conversion={}))["status"] == 403


def test_what_is_sent_becomes_conversions(
    call_as: CallAs, db: Session, engine: Engine, settings: Settings, valkey: "redis.Redis"
) -> None:
    """In our own words, whatever the source calls them, and however it writes amounts."""
    source = add_source(
        db, amounts="minor", fields={"transaction_id": ("header:x-order",)}, attribution=("customer",)
    )
    add_conversion(
        db, source=source, click_id=new_click_id(AT), clicked_at=AT, link_id=7, customer_id="maria"
    )
    api = call_as("support")
    sold = {
        "transaction_id": "AR-1",
        "amount": "1234.50",
        "status": "pending",
        "customer_id": "maria",
        "currency": "EUR",
    }
    answer = api.post(
        "/conversions",
        source=source.id,
        conversions=[sold, {**sold, "amount": "1e999", "transaction_id": "AR-2"}],
    )
    assert answer.status_code == 202
    ids = answer.get_json()["postbacks"]
    one = api.post(
        "/conversions",
        source="Loja",
        conversion={**sold, "transaction_id": "AR-3", "fields": {"shop": "7 & 8"}},
    )
    assert len(ids) == 2 and len(one.get_json()["postbacks"]) == 1
    entries = [fields[keys.EVENT_FIELD] for _, fields in valkey.xrange(keys.stream("conversion"))]
    assert {postback_event.decode(entry).kind for entry in entries} == {"api"}
    assert make_handler(settings, engine, process_name="t", now=lambda: MORNING)(entries) == {}
    rows = db.scalars(
        select(Conversion).where(Conversion.customer_id == "maria", Conversion.status == "pending")
    ).all()
    assert {(row.transaction_id, row.revenue, row.currency, row.link_id) for row in rows} == {
        ("AR-1", Decimal("1234.5"), "EUR", 7),
        ("AR-3", Decimal("1234.5"), "EUR", 7),
    }
    assert next(row for row in rows if row.transaction_id == "AR-3").fields == {"shop": "7 & 8"}
    verdicts = {str(row.id): row.verdict for row in db.scalars(select(Postback))}
    assert [verdicts[one] for one in ids] == ["conversion", "unreadable"]


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"source": "Nobody", "conversion": {}}, "source"),
        ({"source": 99, "conversion": {}}, "source"),
        ({"source": True, "conversion": {}}, "source"),
        ({"source": "\0", "conversion": {}}, "source"),
        ({"conversion": {}}, "source"),
        ({"source": "Loja"}, "conversions"),
        ({"source": "Loja", "conversion": {}, "conversions": [{}]}, "conversions"),
        ({"source": "Loja", "conversions": []}, "conversions"),
        ({"source": "Loja", "conversions": [{}] * 1001}, "conversions"),
        ({"source": "Loja", "conversions": [{"amount": 5}]}, "conversions.0.amount"),
        ({"source": "Loja", "conversions": [{"sum": "5"}]}, "conversions.0.sum"),
        ({"source": "Loja", "conversions": [{"fields": {"amount": "5"}}]}, "conversions.0.fields.amount"),
        ({"source": "Loja", "conversion": {"coupon": "x" * 501}}, "conversion.coupon"),
    ],
)
def test_it_names_what_it_can_not_take(
    call_as: CallAs, db: Session, valkey: "redis.Redis", body: dict[str, Any], wrong: str
) -> None:
    add_source(db)
    assert set(errors(call_as("admin").post("/conversions", **body))) == {wrong}
    assert not valkey.exists(keys.stream("conversion"))


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ({"status": "sold"}, "status"),
        ({"late": "maybe"}, "late"),
        ({"from": "yesterday"}, "from"),
        ({"limit": "500"}, "limit"),
        ({"by": "x"}, "by"),
    ],
)
def test_it_names_what_is_wrong_in_a_question(call_as: CallAs, query: dict[str, str], wrong: str) -> None:
    assert set(errors(call_as("viewer").get("/conversions", **query))) == {wrong}


def test_reports_sum_up_what_counts(call_as: CallAs, db: Session, link: Link) -> None:
    add_conversion(db, "100", link_id=link.id)
    add_conversion(db, "50", "BRL", rate="0.2", link_id=link.id, status="pending")
    add_conversion(db, "7", "ARS", rate=None, link_id=link.id)
    for left_out in (
        {"status": "rejected"},
        {"status": "refunded"},
        {"is_late": True},
        {"at": AT - timedelta(days=30)},
    ):
        add_conversion(db, "1000", link_id=link.id, **left_out)
    add_conversion(db, "3", link_id=link.id + 1)
    add_conversion(db, "1000", click_id=None)
    api = call_as("viewer")
    of_link = api.get("/reports/summary", link_id=link.id).get_json()
    assert (of_link["conversions"], of_link["revenue"]) == (3, {"amount": "110.00", "currency": "USD"})
    assert of_link["unrated"] == 1
    of_all = api.get("/reports/summary").get_json()
    assert (of_all["conversions"], of_all["revenue"]["amount"]) == (4, "113.00")


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0.00"),
        ("5.5", "5.50"),
        ("5.123456", "5.123456"),
        ("1E+3", "1000.00"),
        ("-0.10", "-0.10"),
        ("100.000000", "100.00"),
    ],
)
def test_money_has_two_decimals_at_least(amount: str, text: str) -> None:
    assert money_json(Decimal(amount), "USD") == {"amount": text, "currency": "USD"}
