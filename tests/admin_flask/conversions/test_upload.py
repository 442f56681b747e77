"""Upload: rows are checked, sent as postbacks, and followed."""

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from core.config import Settings
from core.contracts import keys, postback_event
from core.db.conversions import Conversion, Postback
from core.db.models import AuditLog
from tasks.postbacks import make_handler
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MORNING
from tests.admin_flask.conversions.test_list import plain
from tests.admin_flask.links.conftest import Click, MakeLink
from tests.core.db.sales import add_source

Sit = Callable[..., Browser]
CLICK = "0199b1c4-6f4e-7c0e-9b52-5f0c3a1d77e4"


def hidden(page: str) -> dict[str, str]:
    """What a check puts into the form."""
    found = dict(re.findall(r'name="(lot|mark)" type="hidden" value="([^"]*)"', page))
    assert set(found) == {"lot", "mark"}
    return found


def queued(valkey: "redis.Redis") -> list[postback_event.PostbackEvent]:
    entries = valkey.xrange(keys.stream("conversion"))
    return [postback_event.decode(fields[keys.EVENT_FIELD]) for _, fields in entries]


@pytest.fixture
def work(engine: Engine, settings: Settings, valkey: "redis.Redis") -> Callable[[], None]:
    """What a worker does with everything that waits."""
    handle = make_handler(settings, engine, process_name="t", now=lambda: MORNING)

    def run() -> None:
        entries = valkey.xrange(keys.stream("conversion"))
        assert handle([fields[keys.EVENT_FIELD] for _, fields in entries]) == {}

    return run


def test_it_checks_before_anything_is_sent(sit_down: Sit, db: Session, valkey: "redis.Redis") -> None:
    source = add_source(db)
    rows = ("A1,12.50,sale", "A2,12;50x,sale", "A3,1,sold", "A4,1,sale,extra")
    text = "\n".join(["subid,tid,payout,status", *(f"{CLICK},{row}" for row in rows)])
    page = sit_down("support").post(
        "/conversions/upload", {"source": str(source.id), "text": text, "do": "check"}
    )
    assert page.status_code == 200
    words = plain(page.text)
    assert "1 row can be sent. 3 rows can not be read and are left out." in words
    assert "3 “12;50x” is no amount." in words
    assert "4 The source has no status “sold”." in words
    assert "5 It has 5 cells, and the head has 4." in words
    assert f"{CLICK} A1 sale Approved R$12.50" in words
    assert queued(valkey) == []


def test_it_sends_the_rows_that_can_be_read_once(
    sit_down: Sit,
    db: Session,
    valkey: "redis.Redis",
    make_link: MakeLink,
    click: Click,
    work: Callable[[], None],
) -> None:
    link = make_link("bf-tv")
    click(link, MORNING)
    click_id = str(db.connection().exec_driver_sql("select id from clicks").scalar_one())
    source, browser = add_source(db), sit_down("support")
    fields: dict[str, Any] = {
        "source": str(source.id),
        "text": f"click_id,order,amount\n{click_id},A1,12.50\n{click_id},A2,x\n{click_id},A3,3",
    }
    checked = hidden(browser.post("/conversions/upload", fields).text)
    sent = browser.post("/conversions/upload", {**fields, **checked, "do": "send"})
    assert sent.status_code == 303 and f"rows=2&source={source.id}" in sent.location
    as_browsers_do = fields["text"].replace("\n", "\r\n")
    again = browser.post("/conversions/upload", {**fields, **checked, "text": as_browsers_do, "do": "send"})
    assert again.location == sent.location
    assert [event.kind for event in queued(valkey)] == ["upload"] * 4
    assert sum(int(count) for count in valkey.hvals(keys.RECEIVED)) == 4
    waiting = browser.get(sent.location).text
    assert "0 of 2 rows are judged." in plain(waiting)
    poll = re.search(r'hx-get="([^"]+)"', waiting.split('id="progress"')[1])
    assert poll
    assert browser.get(poll[1].replace("&amp;", "&"), htmx=True).status_code == 204
    work()
    done = browser.get(poll[1].replace("&amp;", "&"), htmx=True).text
    assert "All 2 rows are judged." in plain(done) and "Conversion 2" in plain(done)
    assert "hx-get" not in done
    db.rollback()
    rows = db.scalars(select(Conversion).order_by(Conversion.transaction_id)).all()
    assert [(row.transaction_id, str(row.revenue.normalize()), row.link_id) for row in rows] == [
        ("A1", "12.5", link.id),
        ("A3", "3", link.id),
    ]
    assert len(db.scalars(select(Postback)).all()) == 2
    assert len(db.scalars(select(AuditLog).where(AuditLog.action == "conversions.upload")).all()) == 2


def test_other_rows_are_checked_before_they_are_sent(
    sit_down: Sit, db: Session, valkey: "redis.Redis"
) -> None:
    source, browser = add_source(db), sit_down("support")
    fields = {"source": str(source.id), "text": f"{CLICK}:payout=1"}
    first = hidden(browser.post("/conversions/upload", fields).text)
    changed = browser.post(
        "/conversions/upload", {**fields, **first, "text": f"{CLICK}:payout=2", "do": "send"}
    )
    assert changed.status_code == 200 and "Send 1 row" in changed.text
    assert queued(valkey) == []
    assert hidden(changed.text)["lot"] != first["lot"]


def test_a_file_fills_the_field(sit_down: Sit, db: Session) -> None:
    source, browser = add_source(db), sit_down("admin")
    file = (io.BytesIO("subid;tid;payout\r\n;Pedido à vista;1.234,50\r\n".encode("cp1252")), "vendas.csv")
    page = browser.post(
        "/conversions/upload",
        {"source": str(source.id), "text": "", "file": file},
        content_type="multipart/form-data",
    )
    assert "Pedido à vista" in page.text
    assert "R$1,234.50" in page.text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Paste rows here, or choose a file."),
        ("  \n", "There is nothing in it."),
        ("a,a\n1,2", "names a twice"),
        ("subid,tid", "no row below it"),
    ],
)
def test_it_says_why_nothing_can_be_read(sit_down: Sit, db: Session, text: str, why: str) -> None:
    source = add_source(db)
    answer = sit_down("admin").post("/conversions/upload", {"source": str(source.id), "text": text})
    assert answer.status_code == 422
    assert why in answer.text


def test_it_sends_nobody_to_a_source_that_is_not_there(sit_down: Sit) -> None:
    assert "Set up the source first." in sit_down("admin").get("/conversions/upload").text


@pytest.mark.parametrize("role", ["marketer", "viewer"])
def test_only_some_may_upload(sit_down: Sit, role: str) -> None:
    browser = sit_down(role)
    assert browser.get("/conversions/upload").status_code == 403
    assert browser.post("/conversions/upload", {"text": "x"}).status_code == 403


def test_it_follows_no_id_that_is_no_upload(sit_down: Sit) -> None:
    assert sit_down("admin").get(f"/conversions/upload/{CLICK}").status_code == 404
