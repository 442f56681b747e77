"""Reports by the API: figures, buckets, dimensions and single clicks of what was stored."""

import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from core.db.models import Domain, Link
from core.db.partitions import ensure_partitions
from core.db.tracking import DICTIONARIES, Click, Dictionary, RollupDim, RollupTotal
from core.services import links
from core.services.actor import COMMAND
from tests.admin_flask.api.conftest import Caller, errors, problem
from tests.admin_flask.conftest import MORNING


@pytest.fixture
def link(db: Session, domain: Domain) -> Link:
    """Slug `a`."""
    return links.create_link(db, url="https://example.com", slug="a", actor=COMMAND, now=MORNING)


def add_totals(db: Session, link: Link, at: datetime, *, clicks: int, bots: int = 0, shard: int = 0) -> None:
    for link_id in (link.id, 0):
        db.add(
            RollupTotal(
                link_id=link_id, slot=at, shard=shard, clicks=clicks, uniques=clicks // 2, bots=bots, others=1
            )
        )
    db.commit()


def at(hour: int, day: int = 27) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


def test_it_sums_up(api: Caller, db: Session, link: Link) -> None:
    add_totals(db, link, at(9), clicks=4, bots=2)
    add_totals(db, link, at(9), clicks=6, bots=1, shard=3)
    add_totals(db, link, at(10, day=1), clicks=100)
    body = api.get("/reports/summary", link_id=link.id).get_json()
    assert body == {
        "link_id": link.id,
        "from": "2026-11-21T00:00:00+00:00",
        "to": "2026-11-28T00:00:00+00:00",
        "clicks": 10,
        "uniques": 5,
        "bots": 3,
        "others": 2,
        "conversions": 0,
        "unrated": 0,
        "revenue": {"amount": "0.00", "currency": "USD"},
    }
    everything = api.get("/reports/summary", from_="2026-11-01", to="2026-12-01").get_json()
    assert everything["clicks"] >= 110 and everything["link_id"] is None


def test_it_cuts_a_range_into_buckets_of_a_zone(api: Caller, db: Session, link: Link) -> None:
    add_totals(db, link, at(2), clicks=4)
    query = {"link_id": link.id, "from": "2026-11-26", "to": "2026-11-28", "tz": "America/Sao_Paulo"}
    body = api.get("/reports/timeseries", **query).get_json()
    assert body["points"] == [
        {"start": "2026-11-26T00:00:00-03:00", "clicks": 4, "uniques": 2, "bots": 0},
        {"start": "2026-11-27T00:00:00-03:00", "clicks": 0, "uniques": 0, "bots": 0},
    ]
    assert (body["interval"], body["tz"]) == ("day", "America/Sao_Paulo")
    hours = api.get("/reports/timeseries", **query, interval="hour").get_json()["points"]
    assert len(hours) == 48 and hours[23] == {
        "start": "2026-11-26T23:00:00-03:00",
        "clicks": 4,
        "uniques": 2,
        "bots": 0,
    }
    part = api.get(
        "/reports/timeseries",
        link_id=link.id,
        from_="2026-11-27T00:00:00Z",
        to="2026-11-27T03:00:00+00:00",
        interval="hour",
    ).get_json()["points"]
    assert [point["clicks"] for point in part] == [0, 0, 4]


def test_it_breaks_down(api: Caller, db: Session, link: Link) -> None:
    brazil = Dictionary(kind=DICTIONARIES["country"], value="BR")
    db.add(brazil)
    db.flush()
    for value, clicks in ((brazil.id, 7), (0, 3)):
        db.add(
            RollupDim(
                link_id=link.id,
                day=date(2026, 11, 27),
                kind=DICTIONARIES["country"],
                value=value,
                shard=0,
                clicks=clicks,
                uniques=1,
                bots=0,
            )
        )
    db.commit()
    body = api.get("/reports/breakdown", link_id=link.id, by="country").get_json()
    assert body["rows"] == [
        {"value": "BR", "clicks": 7, "uniques": 1, "bots": 0},
        {"value": "", "clicks": 3, "uniques": 1, "bots": 0},
    ]
    assert (body["first_day"], body["last_day"], body["by"]) == ("2026-11-21", "2026-11-27", "country")
    one = api.get("/reports/breakdown", link_id=link.id, by="country", limit=1).get_json()
    assert (len(one["rows"]), one["rest"]["clicks"]) == (1, 3)


def add_click(db: Session, link: Link, when: datetime, *, bot_reason: int = 0, outcome: int = 0) -> str:
    ms = int(when.timestamp() * 1000)
    click_id = uuid.UUID(int=(ms << 80) | (7 << 76) | (2 << 62) | link.id)
    zeros = dict.fromkeys(
        [
            column.name
            for column in Click.__table__.columns
            if str(column.type) in ("INTEGER", "BIGINT", "SMALLINT")
        ],
        0,
    )
    zeros |= {"link_id": link.id, "bot_reason": bot_reason, "outcome": outcome}
    db.add(Click(id=click_id, is_unique=not bot_reason, is_head=False, stored_at=when, **zeros))
    db.commit()
    return str(click_id)


@pytest.fixture
def partition(db: Session) -> None:
    """Room for the clicks of these tests."""
    ensure_partitions(db.connection(), now=MORNING)
    db.commit()


def test_it_shows_single_clicks_page_by_page(api: Caller, db: Session, link: Link, partition: None) -> None:
    curl = Dictionary(kind=DICTIONARIES["bot_reason"], value="tool")
    db.add(curl)
    db.commit()
    made = [
        add_click(db, link, MORNING - timedelta(minutes=3)),
        add_click(db, link, MORNING - timedelta(minutes=2), bot_reason=curl.id),
        add_click(db, link, MORNING - timedelta(minutes=1), outcome=1),
    ]
    body = api.get("/clicks", link_id=link.id, limit=2).get_json()
    assert [item["id"] for item in body["items"]] == [made[2], made[1]]
    paused, robot = body["items"]
    assert (paused["outcome"], paused["counted"], paused["reason"]) == ("paused", False, "paused")
    assert (robot["outcome"], robot["counted"], robot["reason"], robot["unique"]) == (
        "redirect",
        False,
        "tool",
        False,
    )
    assert robot["at"] == "2026-11-27T11:58:00+00:00"
    rest = api.get("/clicks", link_id=link.id, limit=2, cursor=body["next"]).get_json()
    assert [(item["id"], item["counted"], item["unique"]) for item in rest["items"]] == [
        (made[0], True, True)
    ]
    assert rest["next"] is None
    assert len(api.get("/clicks").get_json()["items"]) == 3


def test_it_knows_no_report_of_a_link_that_never_was(api: Caller) -> None:
    for path in ("/reports/summary", "/reports/timeseries", "/reports/breakdown", "/clicks"):
        more = {"by": "country"} if path.endswith("breakdown") else {}
        assert problem(api.get(path, link_id=99, **more))["status"] == 404


@pytest.mark.parametrize(
    ("path", "query", "wrong"),
    [
        ("/reports/summary", {"from": "yesterday"}, "from"),
        ("/reports/summary", {"from": "2026-11-02", "to": "2026-11-01"}, "from"),
        ("/reports/summary", {"from": "2026-13-01"}, "from"),
        ("/reports/summary", {"to": "9999-99-99"}, "from"),
        ("/reports/summary", {"tz": "Mars/Olympus"}, "tz"),
        ("/reports/summary", {"tz": "../../etc/passwd"}, "tz"),
        ("/reports/summary", {"tz": "\u0000"}, "tz"),
        ("/reports/summary", {"link_id": "x"}, "link_id"),
        ("/reports/summary", {"link_id": "9" * 30}, "link_id"),
        ("/reports/summary", {"form": "2026-11-01"}, "form"),
        ("/reports/timeseries", {"interval": "minute"}, "interval"),
        ("/reports/timeseries", {"interval": "hour", "from": "2001-01-01", "to": "2199-01-01"}, "from"),
        ("/reports/breakdown", {}, "by"),
        ("/reports/breakdown", {"by": "password"}, "by"),
        ("/reports/breakdown", {"by": "country", "limit": "0"}, "limit"),
        ("/clicks", {"cursor": "x"}, "cursor"),
        ("/clicks", {"limit": "1000"}, "limit"),
    ],
)
def test_it_names_what_is_wrong_in_a_question(
    api: Caller, path: str, query: dict[str, str], wrong: str
) -> None:
    assert set(errors(api.get(path, **query))) == {wrong}


def test_it_lists_domains(call_as: Callable[[str], Caller], link: Link) -> None:
    body = call_as("viewer").get("/domains").get_json()
    assert [(row["host"], row["is_default"], row["links"]) for row in body["items"]] == [
        ("go.example.com", True, 1)
    ]


def test_it_describes_itself(api: Caller) -> None:
    api.key = ""
    spec = api.get("/openapi.json").get_json()
    assert spec["openapi"] == "3.1.0"
    assert set(spec["paths"]) == {
        "/api/v1/links",
        "/api/v1/links/{link_id}",
        "/api/v1/reports/summary",
        "/api/v1/reports/timeseries",
        "/api/v1/reports/breakdown",
        "/api/v1/clicks",
        "/api/v1/conversions",
        "/api/v1/conversions/{conversion_id}",
        "/api/v1/domains",
        "/api/v1/domains/{domain_id}",
        "/api/v1/postbacks",
        "/api/v1/postbacks/{postback_id}",
        "/api/v1/queues",
    }
    assert spec["paths"]["/api/v1/links"]["post"]["summary"].startswith("Make a link")
    assert spec["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
