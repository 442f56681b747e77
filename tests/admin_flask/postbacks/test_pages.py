"""The pages of the inbox: what they show, to whom, and what support reads when nothing is found."""

import re
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from core.db.conversion_store import judge, load_sources
from core.db.conversions import Conversion, ConversionSource, Postback, Webhook, WebhookDelivery
from core.db.postback_store import rows_of
from core.domain.conversions import NO_CLICK, UNREADABLE
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MORNING
from tests.core.services.inbox import postback

Sit = Callable[..., Browser]
AT = MORNING - timedelta(minutes=5)


def sale(db: Session, shop: ConversionSource, clicked: UUID, *, order: str = "AR-1") -> UUID:
    """A postback of a sale that nobody has judged."""
    query = f"subid={clicked}&valor=2.199,00&pedido={order}&status=aprovado&loja=online"
    return postback(db, query, at=AT, of=shop, verdict=NO_CLICK, why={"code": "no_click_id"})


def judged(engine: Engine, *ids: UUID) -> None:
    """Judge them as a worker does."""
    with engine.begin() as connection:
        rows = rows_of(connection, ids, locked=True)
        judge(connection, rows, sources=load_sources(connection), now=MORNING, report_currency="BRL")


@pytest.mark.parametrize(
    ("role", "status"), [("admin", 200), ("support", 200), ("marketer", 200), ("viewer", 403)]
)
def test_it_is_for_who_may_see_postbacks(
    sit_down: Sit, db: Session, shop: ConversionSource, role: str, status: int
) -> None:
    id = postback(db, "pedido=1", at=AT, of=shop)
    browser = sit_down(role)
    for path in ("/postbacks", f"/postbacks/{id}", "/postbacks/live"):
        assert browser.get(path).status_code == status
    assert ('href="/postbacks"' in browser.get("/account").text) == (status == 200)


@pytest.mark.parametrize(("role", "status"), [("support", 200), ("marketer", 403), ("viewer", 403)])
def test_it_lets_only_some_replay(
    sit_down: Sit, db: Session, shop: ConversionSource, role: str, status: int
) -> None:
    id = postback(db, "pedido=1&status=aprovado", at=AT, of=shop)
    browser = sit_down(role)
    assert browser.get(f"/postbacks/{id}/trial").status_code == status
    assert browser.get(f"/postbacks/sources/{shop.id}/try").status_code == status
    assert browser.post(f"/postbacks/{id}/replay").status_code == (303 if status == 200 else 403)
    if role == "support":
        page = browser.post(f"/postbacks/sources/{shop.id}/try", _fields(browser, shop) | {"do": "save"})
        assert page.status_code == 403


def test_it_asks_strangers_to_sign_in(browser: Browser) -> None:
    assert browser.get("/postbacks").status_code == 303
    id = "01998c3e-7a41-7c0e-9b52-5f0c3a1d77e4"
    assert browser.get(f"/postbacks/{id}/trial").status_code == 303
    assert browser.post(f"/postbacks/{id}/replay", token=False).status_code == 401


def test_it_counts_in_the_navigation_what_somebody_should_look_at(
    sit_down: Sit, db: Session, shop: ConversionSource
) -> None:
    marked = '<span class="rs-count act">'
    browser = sit_down("marketer")
    postback(db, "pedido=1", at=AT, of=shop)
    postback(
        db, "pedido=2", at=AT - timedelta(days=1), of=shop, verdict=NO_CLICK, why={"code": "no_click_id"}
    )
    assert marked not in browser.get("/account").text
    for n in range(3):
        postback(db, f"pedido=n{n}", at=AT, of=shop, verdict=NO_CLICK, why={"code": "no_click_id"})
    assert f"{marked}3</span>" in browser.get("/account").text


def test_it_says_what_to_do_before_the_first_postback(sit_down: Sit) -> None:
    assert "No postback has come yet" in sit_down().get("/postbacks").text


def test_it_shows_one_with_its_whole_trail(
    sit_down: Sit, db: Session, engine: Engine, shop: ConversionSource, clicked: UUID
) -> None:
    id = sale(db, shop, clicked)
    judged(engine, id)
    page = sit_down().get(f"/postbacks/{id}").text
    for words in (
        "One new conversion: R$2,199.00 for Smart TV 4K.",
        "Answered 200.",
        '<span class="q-hit">valor</span>=2.199,00&amp;',
        "GET /postback/pb_k3…4f2c?",
        "loja=online",
        "4 min after the click",
        "Sale R$2,199.00, approved, credited to Smart TV 4K",
        "203.0.113.77",
    ):
        assert words in page
    assert re.search(r"Amount\s+<b>2,199\.00</b>", page)
    assert re.search(r"Currency\s+<b>BRL</b>.*default of the source", page, re.S)


def test_it_shows_what_was_sent_on_for_it(
    sit_down: Sit, db: Session, engine: Engine, shop: ConversionSource, clicked: UUID
) -> None:
    id = sale(db, shop, clicked)
    judged(engine, id)
    stock = Webhook(name="Stock system", url="https://stock.example/hook")
    db.add(stock)
    db.flush()
    made = db.scalars(select(Conversion.id)).one()
    told = (("pending", "done", 200), ("approved", "failed", 503), ("refunded", "waiting", None))
    for status, state, answer in told:
        row = WebhookDelivery(webhook_id=stock.id, conversion_id=made, status=status)
        row.state, row.response_status = state, answer
        db.add(row)
    db.commit()
    page = re.sub(r"<[^>]+>", "", sit_down().get(f"/postbacks/{id}").text)
    sent = re.findall(r"Sent on to\s+Stock system: ([^.]+)\.", page)
    assert sent == ["waits to be sent", "answered 503", "answered 200"]


def test_it_shortens_addresses_for_who_may_not_see_them(
    sit_down: Sit, db: Session, shop: ConversionSource
) -> None:
    id = postback(db, "pedido=1", at=AT, of=shop, referrer="https://shop.example/thanks?mail=ana@example.com")
    page = sit_down("support").get(f"/postbacks/{id}").text
    assert "203.0.113.0" in page
    assert "203.0.113.77" not in page
    assert "https://shop.example/thanks" in page
    assert "ana@example.com" not in page


def test_it_shows_the_macro_that_was_not_filled_in(
    sit_down: Sit, db: Session, engine: Engine, shop: ConversionSource
) -> None:
    id = postback(db, "subid={clickid}&valor=1&status=aprovado", at=AT, of=shop, verdict=NO_CLICK)
    judged(engine, id)
    page = sit_down().get(f"/postbacks/{id}").text
    assert "the name of a macro ({clickid}) in place of its value" in page
    assert "Correct the macro in the postback URL" in page


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ({"code": "unknown_status", "field": "status", "value": "pago"}, "say there what the status means"),
        ({"code": "bad_amount", "field": "amount", "value": "muito"}, "“muito” is no amount."),
    ],
)
def test_it_says_why_and_what_to_do(
    sit_down: Sit, db: Session, shop: ConversionSource, why: dict[str, str], words: str
) -> None:
    id = postback(db, "pedido=1&status=pago&valor=muito", at=AT, of=shop, verdict=UNREADABLE, why=why)
    page = sit_down().get(f"/postbacks/{id}").text
    assert "It could not be read." in page
    assert words in page


@pytest.mark.parametrize(
    "body", [b'{"a": [1, {"b": "\\u0000 <b>"}]}', b"\xff\xfe<script>", b"a=1&b=<script>", b"{broken"]
)
def test_it_shows_any_body_as_it_came_and_runs_none(
    sit_down: Sit, db: Session, shop: ConversionSource, body: bytes
) -> None:
    query = "x=%FF%FE&&=&<script>alert(1)</script>&pedido=1"
    id = postback(db, query, at=AT, of=shop, body=body, content_type="application/json", method="POST")
    page = sit_down().get(f"/postbacks/{id}")
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text


def test_it_says_that_a_postback_is_gone(sit_down: Sit) -> None:
    page = sit_down().get("/postbacks/01998c3e-7a41-7c0e-9b52-5f0c3a1d77e4")
    assert page.status_code == 404
    assert "This postback is not here" in page.text


def test_it_keeps_the_filters_when_one_is_opened(sit_down: Sit, db: Session, shop: ConversionSource) -> None:
    id = postback(db, "pedido=AR-1", at=AT, of=shop, verdict=NO_CLICK, why={"code": "no_click_id"})
    postback(db, "pedido=AR-2", at=AT, of=shop)
    browser = sit_down()
    page = browser.get(f"/postbacks?tab=no_click&source={shop.id}&span=7d").text
    address = f"/postbacks/{id}?tab=no_click&amp;source={shop.id}&amp;span=7d"
    assert address in page
    assert "AR-2" not in page
    opened = browser.get(address.replace("&amp;", "&")).text
    assert "AR-2" not in opened
    assert f'href="/postbacks?tab=no_click&amp;source={shop.id}&amp;span=7d"' in opened


@pytest.mark.parametrize(
    "query",
    [
        "tab=none",
        "source=x",
        "source=99999999999999999999999",
        "span=never",
        "from=yesterday",
        "from=2026-11-27&to=2026-11-01",
        "least=NaN&most=1e99",
        "before=x",
        "q=%00%FF",
        "to=9999-12-31",
    ],
)
def test_it_bears_any_address(sit_down: Sit, db: Session, shop: ConversionSource, query: str) -> None:
    postback(db, "pedido=1", at=AT, of=shop)
    assert sit_down().get(f"/postbacks?{query}").status_code == 200


def test_it_sends_the_list_again_only_when_something_is_new(
    sit_down: Sit, db: Session, shop: ConversionSource
) -> None:
    first = postback(db, "pedido=AR-1", at=AT, of=shop)
    browser = sit_down()
    (poll,) = re.findall(r'data-poll hx-get="([^"]+)"', browser.get("/postbacks").text)
    poll = poll.replace("&amp;", "&")
    assert browser.get(poll, htmx=True).status_code == 204
    postback(db, "pedido=AR-2", at=AT + timedelta(seconds=1), of=shop)
    again = browser.get(poll, htmx=True)
    assert again.status_code == 200
    assert "AR-2" in again.text
    assert 'id="tabs"' in again.text
    assert "<html" not in again.text
    (poll,) = re.findall(r'data-poll hx-get="([^"]+)"', again.text)
    db.get_one(Postback, first).verdict = NO_CLICK
    db.commit()
    assert browser.get(poll.replace("&amp;", "&"), htmx=True).status_code == 200


def test_it_answers_where_a_sale_is_when_there_is_none(
    sit_down: Sit, db: Session, shop: ConversionSource, clicked: UUID
) -> None:
    postback(db, "pedido=AR-1", at=AT - timedelta(days=2), of=shop)
    browser = sit_down("support")
    found = browser.get(f"/postbacks?q={str(clicked)[:13]}").text
    assert "The click exists:" in found
    assert "Smart TV 4K" in found
    assert "it would be of 27 Sep 2025" in browser.get("/postbacks?q=01998c3e-7a41").text
    assert "A value is found when it is typed whole" in browser.get("/postbacks?q=AR").text
    assert "AR-1" in browser.get("/postbacks?q=ar-1").text  # a search looks through everything
    today = browser.get("/postbacks").text
    assert "No postback here." in today
    assert "All that is kept" in today


def test_it_replays_one_and_says_what_came_of_it(
    sit_down: Sit, db: Session, shop: ConversionSource, clicked: UUID
) -> None:
    id = sale(db, shop, clicked)
    browser = sit_down("support")
    trial = browser.get(f"/postbacks/{id}/trial", htmx=True).text
    assert "it would make a conversion of R$2,199.00" in trial
    page = browser.follow(browser.post(f"/postbacks/{id}/replay")).text
    assert "Replayed: Conversion, R$2,199.00." in page
    assert "One new conversion" in page
    trial = browser.get(f"/postbacks/{id}/trial", htmx=True).text
    assert "nothing would change" in trial
    assert "Replay</button>" not in trial
    browser.post(f"/postbacks/{id}/replay")
    assert len(db.scalars(select(Conversion)).all()) == 1


def test_it_keeps_what_was_typed_when_fields_can_not_be_taken(
    sit_down: Sit, db: Session, shop: ConversionSource
) -> None:
    browser = sit_down()
    fields = _fields(browser, shop)
    for name, value, words in (
        ("statuses", "pago approved", "write a word, = and what it means"),
        ("statuses", "pago = sold", "sold"),
        ("currency", "XXQ", "There is no such currency"),
        ("field_amount", "subid", "is read as"),
    ):
        page = browser.post(f"/postbacks/sources/{shop.id}/try", fields | {name: value, "do": "try"})
        assert page.status_code == 422
        assert value in page.text
        assert words in page.text


def _fields(browser: Browser, shop: ConversionSource) -> dict[str, object]:
    """The fields of the form as it is opened."""
    return {
        "version": shop.version,
        "days": 7,
        "field_click_id": "subid",
        "field_transaction_id": "pedido",
        "field_amount": "valor",
        "field_status": "status",
        "statuses": "aprovado = approved",
        "default_status": "approved",
        "events": "",
        "amounts": "auto",
        "currency": "BRL",
    }
