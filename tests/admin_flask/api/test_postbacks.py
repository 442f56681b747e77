"""Postbacks by the API: found as in the inbox, one whole, and who may."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from core.domain.conversions import NO_CLICK
from tests.admin_flask.api.conftest import Caller, errors, problem
from tests.admin_flask.conftest import MORNING
from tests.core.services.inbox import postback, source

AT = MORNING - timedelta(minutes=5)
CLICK = "01998c3e-7a41-7c0e-9b52-5f0c3a1d77e4"


def test_it_finds_postbacks_by_what_they_say(call_as: Callable[[str], Caller], db: Session) -> None:
    shop = source(db)
    sale = postback(db, f"subid={CLICK}&valor=2.199,00&pedido=AR-1&status=aprovado", at=AT, of=shop)
    lost = postback(
        db, "pedido=AR-2", at=AT - timedelta(days=9), of=shop, verdict=NO_CLICK, why={"code": "no_click_id"}
    )
    stranger = postback(db, "x=1", at=AT - timedelta(hours=1), refused="token")
    api = call_as("support")

    def ids(**query: object) -> list[str]:
        return [item["id"] for item in api.get("/postbacks", **query).json["items"]]

    assert ids() == [str(sale), str(stranger), str(lost)]
    assert ids(search="ar-1") == ids(search=CLICK[:13]) == [str(sale)]
    assert ids(verdict="no_click") == [str(lost)]
    assert ids(source_id=0) == [str(stranger)]
    assert ids(from_="2026-11-27") == [str(sale), str(stranger)]
    assert ids(to="2026-11-20") == ids(from_="2026-11-01", to="2026-11-20") == [str(lost)]
    (item,) = api.get("/postbacks", search="AR-1").json["items"]
    assert item == {
        "id": str(sale),
        "at": AT.isoformat(),
        "source_id": shop.id,
        "source": "Loja online",
        "verdict": "conversion",
        "why": {"code": "matched"},
        "click_id": CLICK,
        "transaction_id": "AR-1",
        "event": "sale",
        "status": "approved",
        "amount": {"amount": "2199.00", "currency": "BRL"},
        "conversion_id": None,
        "answered": 200,
        "judged_at": (AT + timedelta(seconds=1.3)).isoformat(),
    }


def test_it_gives_them_page_by_page(call_as: Callable[[str], Caller], db: Session) -> None:
    made = [str(postback(db, f"pedido={n}", at=AT - timedelta(seconds=n))) for n in range(5)]
    api = call_as("marketer")
    seen, cursor = [], None
    while True:
        page = api.get("/postbacks", limit=2, **({"cursor": cursor} if cursor else {})).json
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == made


def test_it_gives_one_as_it_came_and_as_it_was_read(call_as: Callable[[str], Caller], db: Session) -> None:
    id = postback(db, "pedido=AR-1&valor=12,34&x=%FF", at=AT, of=source(db), body=b"\xffa=1", method="POST")
    found = call_as("admin").get(f"/postbacks/{id}").json
    assert found["query"] == "pedido=AR-1&valor=12,34&x=%FF"
    assert (found["method"], found["kind"], found["body"]) == ("POST", "postback", "\ufffda=1")
    assert found["address"] == "203.0.113.77"
    lines = {line["name"]: (line["read_as"], line["result"]) for line in found["lines"]}
    assert lines["pedido"] == ("transaction_id", "AR-1")
    assert lines["valor"] == ("amount", "12.34")
    assert call_as("support").get(f"/postbacks/{id}").json["address"] == "203.0.113.0"


@pytest.mark.parametrize(
    ("role", "status"), [("admin", 200), ("marketer", 200), ("support", 200), ("viewer", 403)]
)
def test_it_needs_a_key_that_may_look(
    call_as: Callable[[str], Caller], db: Session, role: str, status: int
) -> None:
    id = postback(db, "pedido=1", at=AT)
    api = call_as(role)
    assert api.get("/postbacks").status_code == status
    assert api.get(f"/postbacks/{id}").status_code == status


def test_it_says_what_can_not_be_asked(call_as: Callable[[str], Caller]) -> None:
    api = call_as("admin")
    assert "verdict" in errors(api.get("/postbacks", verdict="lost"))
    assert "cursor" in errors(api.get("/postbacks", cursor="x"))
    assert "from" in errors(api.get("/postbacks", from_="yesterday"))
    assert problem(api.get(f"/postbacks/{CLICK}"))["status"] == 404
    assert problem(api.get("/postbacks/7"))["status"] == 404
