"""The sources' pages: list, new, set up, URL and keys, rights; coupons and rates."""

import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.contracts import keys, source_snapshot
from core.contracts.source_snapshot import SourceSnapshot
from core.db.conversions import Conversion, ConversionSource, Postback, SourceToken
from core.db.models import Campaign
from core.db.postback_store import first_id
from core.domain.presets import PRESETS
from core.domain.sources import settings_of
from core.services import conversion_sources as service
from core.services import source_list
from core.services.actor import COMMAND
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MORNING, Clock

Sit = Callable[..., Browser]


@pytest.fixture
def source(db: Session) -> ConversionSource:
    """Keitaro, number 1."""
    return service.make_source(db, name="Rede K", preset="keitaro", actor=COMMAND, now=MORNING).source


def published(valkey: "redis.Redis") -> SourceSnapshot:
    framed = valkey.get(keys.SOURCES)
    assert isinstance(framed, bytes)
    (source,) = source_snapshot.decode(framed).sources
    return source


def fields_of(page: str) -> dict[str, Any]:
    """What a browser would send of the form that sets a source up, as it is shown."""
    form = page[page.index('id="source-form"') : page.index("</form>", page.index('id="source-form"'))]
    found: dict[str, Any] = {}
    for tag in re.findall(r"<input [^>]*>", form):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and name[1] != "csrf_token" and ("checkbox" not in tag or "checked" in tag):
            found.setdefault(name[1], []).append(html.unescape(value[1]) if value else "")
    for name, options in re.findall(r'<select [^>]*name="([^"]*)"[^>]*>(.*?)</select>', form, re.S):
        chosen = re.search(r'<option selected value="([^"]*)"', options)
        found[name] = chosen[1] if chosen else re.findall(r'value="([^"]*)"', options)[0]
    for name, text in re.findall(r'<textarea [^>]*name="([^"]*)"[^>]*>(.*?)</textarea>', form, re.S):
        found[name] = html.unescape(text).strip()
    return found


def a_postback(verdict: str, id_: UUID) -> Postback:
    return Postback(
        id=id_,
        source_id=1,
        kind=0,
        method="GET",
        host="",
        query="",
        content_type="",
        body=b"",
        user_agent="",
        referrer="",
        token_hint="",
        refused="",
        answered=200,
        verdict=verdict,
    )


def token_on(page: str) -> str:
    found = re.search(r"pb_[a-z2-7]{26}", page)
    assert found
    return found[0]


def test_before_the_first_one_it_says_what_a_source_is(sit_down: Sit) -> None:
    page = sit_down("admin").get("/settings/sources")
    assert "Add the first source" in page.text
    assert 'href="/settings/sources/new"' in page.text


def test_it_makes_a_source_and_shows_its_url_once(sit_down: Sit, db: Session, valkey: "redis.Redis") -> None:
    browser = sit_down("admin")
    assert all(preset.title in browser.get("/settings/sources/new").text for preset in PRESETS.values())
    page = browser.post("/settings/sources/new", {"name": "Rede K", "preset": "keitaro"})
    assert page.status_code == 200
    token = token_on(page.text)
    url = f"http://127.0.0.1:8080/postback/{token}?{PRESETS['keitaro'].query}"
    assert html.escape(url) in page.text
    assert f"/pixel/{token}.gif" in page.text
    assert "rastro.js" in page.text
    assert "curl" in page.text
    row = db.scalars(select(ConversionSource)).one()
    assert [one.source_id for one in [published(valkey)]] == [row.id]
    for path in ("/settings/sources", f"/settings/sources/{row.id}", f"/settings/sources/{row.id}/test"):
        assert token not in browser.get(path).text
    again = browser.post("/settings/sources/new", {"name": "Rede K", "preset": "keitaro"})
    assert again.status_code == 422
    assert "one of your sources already" in again.text


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"name": "", "preset": "tune"}, "Give it a name"),
        ({"name": "x", "preset": "nobody"}, "Not a valid choice"),
    ],
)
def test_it_keeps_what_was_typed_for_a_new_one(sit_down: Sit, sent: dict[str, object], words: str) -> None:
    answer = sit_down("admin").post("/settings/sources/new", sent)
    assert answer.status_code == 422
    assert words in answer.text


@pytest.mark.parametrize("preset", PRESETS)
def test_saving_without_a_change_changes_nothing(sit_down: Sit, db: Session, preset: str) -> None:
    service.make_source(db, name="One", preset=preset, actor=COMMAND, now=MORNING)
    browser = sit_down("admin")
    sent = fields_of(browser.get("/settings/sources/1").text)
    assert browser.post("/settings/sources/1", sent).status_code == 303
    db.expire_all()
    row = service.get_source(db, source_id=1)
    assert settings_of(row.settings) == PRESETS[preset].settings
    assert row.version == 1


def test_it_sets_a_source_up(
    sit_down: Sit, db: Session, valkey: "redis.Redis", source: ConversionSource
) -> None:
    campaign = Campaign(name="Black Friday 2026")
    db.add(campaign)
    db.commit()
    browser = sit_down("admin")
    sent = fields_of(browser.get("/settings/sources/1").text) | {
        "name": "Rede K, Brasil",
        "field_click_id": "subid, sub1",
        "field_event": "header:X-Event",
        "says_approved": "sale, Pago",
        "says_rejected": "",
        "default_status": "",
        "events": "Purchase = sale\ndep = deposit",
        "currency": "brl",
        "amounts": "comma",
        "duplicates": "rebill",
        "window_days": "45",
        "payout_kind": "percent",
        "payout": "12,5",
        "networks": "203.0.113.0/24\n2001:db8::1",
        "reply": "accepted",
        "attribution": ["click", "coupon"],
        "model": "first",
        "campaigns": [str(campaign.id)],
        "signature_header": "X-Sign",
        "signature_prefix": "sha256=",
    }
    page = browser.follow(browser.post("/settings/sources/1", sent))
    assert "Saved." in page.text
    db.expire_all()
    row = service.get_source(db, source_id=1)
    settings = settings_of(row.settings)
    assert (row.name, row.version) == ("Rede K, Brasil", 2)
    assert settings.fields["click_id"] == ("subid", "sub1")
    assert settings.fields["event"] == ("header:x-event",)
    assert settings.statuses == {
        "sale": "approved",
        "pago": "approved",
        "lead": "pending",
        "rebill": "rebill",
    }
    assert settings.events == {"purchase": "sale", "dep": "deposit"}
    assert (settings.default_status, settings.currency, settings.amounts) == ("", "BRL", "comma")
    assert (settings.duplicates, settings.window_days) == ("rebill", 45)
    assert (settings.payout_kind, settings.payout) == ("percent", "12.5")
    assert (settings.attribution, settings.model) == (("click", "coupon"), "first")
    assert settings.campaigns == (campaign.id,)
    assert (settings.signature.header, settings.signature.prefix) == ("X-Sign", "sha256=")
    known = published(valkey)
    assert known.networks == ("203.0.113.0/24", "2001:db8::1/128")
    assert (known.reply, known.wants_headers) == ("accepted", ("x-event",))
    assert "Changed" in page.text
    assert "Signatures are not checked yet." in page.text


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"name": ""}, "Give it a name"),
        ({"field_click_id": ""}, "Name the parameter that the click id comes in."),
        ({"field_amount": "payout, TID"}, "TID is read as transaction id already."),
        ({"says_approved": "sale, lead"}, "“lead” stands there twice."),
        ({"events": "purchase"}, "has no ="),
        ({"currency": "XYZ"}, "There is no such currency."),
        ({"window_days": "soon"}, "Not a valid integer value."),
        ({"window_days": "-3"}, "or 0 for ever"),
        ({"payout_kind": "fixed", "payout": "much"}, "Type a number"),
        ({"networks": "203.0.113.0/33"}, "203.0.113.0/33 is no address and no range."),
        ({"signature_header": "X Sign"}, "has letters, digits and -"),
        ({"attribution": []}, "Choose at least one way"),
        ({"reply": "não"}, "without accents"),
    ],
)
def test_it_says_what_is_wrong_and_keeps_what_was_typed(
    sit_down: Sit, db: Session, source: ConversionSource, sent: dict[str, object], words: str
) -> None:
    browser = sit_down("admin")
    fields = fields_of(browser.get("/settings/sources/1").text) | {"signature_prefix": "kept="} | sent
    answer = browser.post("/settings/sources/1", fields)
    assert answer.status_code == 422
    assert words in html.unescape(answer.text)
    assert 'value="kept="' in answer.text
    db.expire_all()
    assert service.get_source(db, source_id=1).version == 1


def test_two_people_compare_before_one_saves_over_the_other(
    sit_down: Sit, db: Session, source: ConversionSource
) -> None:
    browser = sit_down("admin")
    mine = fields_of(browser.get("/settings/sources/1").text) | {"currency": "EUR"}
    theirs = mine | {"currency": "BRL"}
    assert browser.post("/settings/sources/1", theirs).status_code == 303
    answer = browser.post("/settings/sources/1", mine)
    assert answer.status_code == 422
    assert "Marina Costa saved this source meanwhile." in answer.text
    assert re.search(r"currency</td><td>BRL</td><td>EUR</td>", answer.text)
    assert 'name="over" value="2"' in re.sub(r"\s+", " ", answer.text)
    assert browser.post("/settings/sources/1", mine | {"over": "2"}).status_code == 303
    db.expire_all()
    assert settings_of(service.get_source(db, source_id=1).settings).currency == "EUR"


def test_it_gets_a_new_url_while_the_old_one_works_on(
    sit_down: Sit, db: Session, valkey: "redis.Redis", source: ConversionSource
) -> None:
    browser = sit_down("admin")
    page = browser.get("/settings/sources/1").text
    seen = re.search(r'name="seen" type="hidden" value="(\d+)"', page)
    assert seen
    answer = browser.post("/settings/sources/1/rotate", {"hours": "24", "seen": seen[1]})
    token = token_on(answer.text)
    assert "The URL before works until 28 Nov, 12:00." in answer.text
    assert len(published(valkey).tokens) in (1, 2)  # the clock of this test is not the database's
    twice = browser.follow(browser.post("/settings/sources/1/rotate", {"hours": "24", "seen": seen[1]}))
    assert "The URL was replaced meanwhile." in html.unescape(twice.text)
    assert len(db.scalars(select(SourceToken)).all()) == 2
    page = browser.get("/settings/sources/1").text
    assert "works until 28 Nov, 12:00" in page
    assert f"{token[:5]}…{token[-4:]}" in page
    browser.follow(browser.post("/settings/sources/1/end-old"))
    assert "works until" not in browser.get("/settings/sources/1").text


@pytest.mark.parametrize("hours", ["", "soon", "-1", "2161"])
def test_it_rotates_nothing_for_a_time_that_can_not_be(
    sit_down: Sit, db: Session, source: ConversionSource, hours: str
) -> None:
    browser = sit_down("admin")
    answer = browser.post("/settings/sources/1/rotate", {"hours": hours})
    assert answer.status_code == 303
    assert len(db.scalars(select(SourceToken)).all()) == 1


def test_it_saves_a_signing_key_and_never_shows_it(sit_down: Sit, db: Session, valkey: "redis.Redis") -> None:
    service.make_source(db, name="Shop", preset="shopify", actor=COMMAND, now=MORNING)
    browser = sit_down("admin")
    for key in ("first-signing-key", "second-signing-key"):
        page = browser.follow(browser.post("/settings/sources/1/key", {"secret": key}))
        assert key not in page.text
    signature = published(valkey).signature
    assert signature is not None and signature.keys == (b"second-signing-key", b"first-signing-key")
    assert "Two keys are taken" in page.text
    page = browser.follow(browser.post("/settings/sources/1/key/old/remove"))
    assert "One key is taken." in page.text
    page = browser.follow(browser.post("/settings/sources/1/key/all/remove"))
    assert "Signatures are not checked yet." in page.text
    page = browser.follow(browser.post("/settings/sources/1/key", {"secret": "short"}))
    assert "A signing key has from 8" in page.text


def test_it_switches_a_source_off_and_on(
    sit_down: Sit, db: Session, valkey: "redis.Redis", source: ConversionSource
) -> None:
    browser = sit_down("admin")
    page = browser.follow(browser.post("/settings/sources/1/off"))
    assert "is switched off" in page.text
    framed = valkey.get(keys.SOURCES)
    assert isinstance(framed, bytes) and source_snapshot.decode(framed).sources == ()
    assert "This source is switched off." in browser.get("/settings/sources/1/test").text
    browser.post("/settings/sources/1/on")
    assert published(valkey).source_id == 1


def test_it_removes_a_source_that_has_no_conversions(
    sit_down: Sit, db: Session, source: ConversionSource
) -> None:
    browser = sit_down("admin")
    conversion = Conversion(source_id=1, ref_click=UUID(int=0), status="approved", at=MORNING, currency="USD")
    db.add(conversion)
    db.commit()
    page = browser.follow(browser.post("/settings/sources/1/delete"))
    assert "has conversions, so it stays" in page.text
    db.delete(conversion)
    db.commit()
    page = browser.follow(browser.post("/settings/sources/1/delete"))
    assert "is removed" in page.text
    assert browser.get("/settings/sources/1").status_code == 404


def test_the_list_says_what_came_today(
    sit_down: Sit, db: Session, source: ConversionSource, clock: Clock
) -> None:
    def came(verdict: str, *, ago: timedelta, number: int) -> Postback:
        return a_postback(verdict, UUID(int=first_id(MORNING - ago).int + number))

    db.add_all([came("conversion", ago=timedelta(minutes=3), number=n) for n in range(3)])
    db.add(came("no_click", ago=timedelta(minutes=2), number=9))
    db.add(came("refused", ago=timedelta(days=2), number=10))
    db.commit()
    page = sit_down("admin").get("/settings/sources").text
    assert "3 conversions" in page
    assert "1 without a click" in page
    assert "refused" not in page
    assert "2 min ago" in page


def test_the_list_counts_no_more_than_it_can_in_a_moment(
    sit_down: Sit, db: Session, source: ConversionSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_list, "MOST_COUNTED", 2)
    for number in range(3):
        db.add(a_postback("conversion", UUID(int=first_id(MORNING).int + number)))
    db.commit()
    page = sit_down("admin").get("/settings/sources").text
    assert "of the last" in page
    assert "2 conversions" in page


def test_a_campaign_that_was_chosen_stays_chosen_among_many(
    sit_down: Sit, db: Session, source: ConversionSource
) -> None:
    db.add_all([Campaign(name=f"C{number:03}") for number in range(202)])
    db.flush()
    last = db.scalars(select(Campaign.id).where(Campaign.name == "C201")).one()
    row = service.get_source(db, source_id=1)
    row.settings = {**row.settings, "campaigns": [last]}
    db.commit()
    browser = sit_down("admin")
    sent = fields_of(browser.get("/settings/sources/1").text)
    assert sent["campaigns"] == [str(last)]
    assert browser.post("/settings/sources/1", sent | {"currency": "EUR"}).status_code == 303
    db.expire_all()
    assert settings_of(service.get_source(db, source_id=1).settings).campaigns == (last,)


def test_its_pages_lie_below_settings(sit_down: Sit, source: ConversionSource) -> None:
    page = sit_down("admin").get("/settings/sources/1").text
    assert re.search(r'class="rs-nav on" href="/settings/domains"', page)


@pytest.mark.parametrize("role", ["marketer", "support"])
def test_others_look_and_change_nothing(
    sit_down: Sit, db: Session, source: ConversionSource, role: str
) -> None:
    browser = sit_down(role)
    page = browser.get("/settings/sources/1")
    assert page.status_code == 200
    assert '<fieldset class="stack" disabled>' in page.text
    assert "Get a new URL" not in page.text
    assert browser.get("/settings/sources").status_code == 200
    assert browser.get("/settings/rates").status_code == 200
    assert browser.get("/settings/sources/new").status_code == 403
    for path in ("", "/off", "/rotate", "/end-old", "/key", "/key/old/remove", "/delete"):
        assert browser.post(f"/settings/sources/1{path}", {"name": "x"}).status_code == 403, path
    assert browser.post("/settings/sources/new", {"name": "x", "preset": "plain"}).status_code == 403
    assert browser.post("/settings/rates", {"currency": "EUR"}).status_code == 403
    assert browser.post("/settings/rates/EUR/2026-11-27/delete").status_code == 403
    db.expire_all()
    assert service.get_source(db, source_id=1).version == 1


def test_a_viewer_sees_none_of_it(sit_down: Sit, source: ConversionSource) -> None:
    browser = sit_down("viewer")
    for path in ("/sources", "/sources/1", "/sources/1/test", "/rates", "/coupons"):
        assert browser.get(f"/settings{path}").status_code == 403, path


def test_it_knows_no_source_that_is_not_there(sit_down: Sit) -> None:
    browser = sit_down("admin")
    for path in ("", "/test", "/test/live"):
        assert browser.get(f"/settings/sources/7{path}").status_code == 404
    for path in ("", "/off", "/rotate", "/end-old", "/key", "/key/old/remove", "/delete", "/test"):
        assert browser.post(f"/settings/sources/7{path}").status_code == 404, path


def test_it_changes_nothing_without_the_token(sit_down: Sit, db: Session, source: ConversionSource) -> None:
    browser = sit_down("admin")
    for path in ("", "/off", "/rotate", "/delete"):
        assert browser.post(f"/settings/sources/1{path}", token=False).status_code == 419
