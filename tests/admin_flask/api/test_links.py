"""Links by the API: made, listed, read, changed, deleted, and everything that can be wrong with them."""

from typing import Any

import pytest
from redis import Redis
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.contracts import keys, link_snapshot
from core.db.models import Campaign, Domain, Link, LinkHistory
from core.services import domains
from core.services.actor import COMMAND
from tests.admin_flask.api.conftest import Caller, errors, problem
from tests.admin_flask.conftest import MORNING

URL = "https://example.com/tv?a=b#c"


def test_it_makes_a_link(api: Caller, db: Session, domain: Domain, valkey: Redis) -> None:
    answer = api.post("/links", url=URL, slug="BF-TV", title="Smart TV", notes="n", tags=["Sale", "tv"])
    assert answer.status_code == 201
    body = answer.get_json()
    link = db.scalars(select(Link)).one()
    assert answer.headers["Location"] == f"/api/v1/links/{link.id}"
    assert body == {
        "id": link.id,
        "short_url": "https://go.example.com/BF-TV",
        "domain": "go.example.com",
        "slug": "BF-TV",
        "url": URL,
        "title": "Smart TV",
        "notes": "n",
        "state": "live",
        "campaign_id": None,
        "tags": ["sale", "tv"],
        "rules": [],
        "split": [],
        "owner_id": None,
        "starts_at": None,
        "expires_at": None,
        "fallback_url": "",
        "click_cap": None,
        "ios_url": "",
        "android_url": "",
        "redirect_status": 302,
        "no_referrer": False,
        "pass_query": True,
        "click_id_param": "",
        "has_password": False,
        "warnings": [],
        "cap_count": None,
        "version": 1,
        "created_at": "2026-11-27T12:00:00+00:00",
        "updated_at": "2026-11-27T12:00:00+00:00",
    }
    framed = valkey.get(keys.link(domain.id, "bf-tv"))
    assert isinstance(framed, bytes) and link_snapshot.decode(framed).url == URL
    assert db.scalars(select(LinkHistory.actor)).one().startswith("key:")


def test_it_chooses_a_slug_and_a_domain(api: Caller, db: Session) -> None:
    domains.add_domain(db, host="b.example.com", actor=COMMAND, now=MORNING)
    body = api.post("/links", url=URL, domain="B.example.com.").get_json()
    assert body["domain"] == "b.example.com" and len(body["slug"]) == 7
    assert body["short_url"] == f"https://b.example.com/{body['slug']}"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, {"url"}),
        ({"url": None}, {"url"}),
        ({"url": 7}, {"url"}),
        ({"url": ["https://example.com"]}, {"url"}),
        ({"url": "javascript:alert(1)"}, {"url"}),
        ({"url": "https://u:p@example.com"}, {"url"}),
        ({"url": "https://GO.example.com:8080/x"}, {"url"}),
        ({"url": "https://example.com/" + "x" * 8192}, {"url"}),
        ({"url": "https://example.com/\ud800"}, {"url"}),
        ({"url": URL, "slug": "a b"}, {"slug"}),
        ({"url": URL, "slug": "robots.txt"}, {"slug"}),
        ({"url": URL, "slug": "x" * 65}, {"slug"}),
        ({"url": URL, "slug": 7}, {"slug"}),
        ({"url": URL, "title": "x" * 201}, {"title"}),
        ({"url": URL, "title": "a\u0000b"}, {"title"}),
        ({"url": URL, "title": True}, {"title"}),
        ({"url": URL, "notes": {}}, {"notes"}),
        ({"url": URL, "tags": "sale"}, {"tags"}),
        ({"url": URL, "tags": ["a", 7]}, {"tags.1"}),
        ({"url": URL, "tags": ["x" * 51]}, {"tags"}),
        ({"url": URL, "domain": "nobody.example.com"}, {"domain"}),
        ({"url": URL, "domain": ""}, {"domain"}),
        ({"url": URL, "campaign_id": 99}, {"campaign_id"}),
        ({"url": URL, "campaign_id": "1"}, {"campaign_id"}),
        ({"url": URL, "campaign_id": True}, {"campaign_id"}),
        ({"url": URL, "campaign_id": 1.5}, {"campaign_id"}),
        ({"url": URL, "campaign_id": 10**30}, {"campaign_id"}),
        ({"url": URL, "starts_at": "tomorrow"}, {"starts_at"}),
        ({"url": URL, "starts_at": "2026-11-27T09:00:00"}, {"starts_at"}),
        ({"url": URL, "expires_at": 7}, {"expires_at"}),
        (
            {"url": URL, "starts_at": "2026-11-27T09:00:00Z", "expires_at": "2026-11-27T09:00:00Z"},
            {"expires_at"},
        ),
        ({"url": URL, "expires_at": "0001-01-01T00:00:00+14:00"}, {"expires_at"}),
        ({"url": URL, "fallback_url": "javascript:alert(1)"}, {"fallback_url"}),
        ({"url": URL, "click_cap": 0}, {"click_cap"}),
        ({"url": URL, "click_cap": -1}, {"click_cap"}),
        ({"url": URL, "click_cap": 1_000_000_001}, {"click_cap"}),
        ({"url": URL, "click_cap": "5"}, {"click_cap"}),
        ({"url": URL, "click_cap": True}, {"click_cap"}),
        ({"url": URL, "click_cap": 1.5}, {"click_cap"}),
        ({"url": URL, "ios_url": "tel:+1"}, {"ios_url"}),
        ({"url": URL, "ios_url": None}, {"ios_url"}),
        ({"url": URL, "android_url": "file:///etc/passwd"}, {"android_url"}),
        ({"url": URL, "redirect_status": 301}, {"redirect_status"}),
        ({"url": URL, "redirect_status": 303}, {"redirect_status"}),
        ({"url": URL, "redirect_status": "302"}, {"redirect_status"}),
        ({"url": URL, "no_referrer": "yes"}, {"no_referrer"}),
        ({"url": URL, "pass_query": None}, {"pass_query"}),
        ({"url": URL, "click_id_param": "a b"}, {"click_id_param"}),
        ({"url": URL, "click_id_param": "x" * 65}, {"click_id_param"}),
        ({"url": URL, "password": ""}, {"password"}),
        ({"url": URL, "password": "x" * 129}, {"password"}),
        ({"url": URL, "password": "a\nb"}, {"password"}),
        ({"url": URL, "password": "a\ud800"}, {"password"}),
        ({"url": URL, "password": 7}, {"password"}),
        ({"url": URL, "has_password": True}, {"has_password"}),
        ({"url": "https://{source}.example.com/"}, {"url"}),
        ({"url": URL, "warnings": []}, {"warnings"}),
        ({"url": URL, "colour": "red"}, {"colour"}),
        ({"url": URL, "id": 7, "version": 3}, {"id", "version"}),
        ({"url": 7, "slug": 8, "x": 9}, {"url", "slug", "x"}),
    ],
)
def test_it_names_the_fields_that_are_wrong(
    api: Caller, db: Session, fields: dict[str, Any], wrong: set[str]
) -> None:
    answer = api.send("POST", "/links", json=fields)
    found = errors(answer)
    assert set(found) == wrong
    assert all(message.endswith(".") or "Did you mean" in message for message in found.values())
    assert db.scalars(select(Link)).all() == []


def test_it_takes_a_password_and_never_shows_it(
    api: Caller, db: Session, domain: Domain, valkey: Redis
) -> None:
    answers = [
        api.post("/links", url=URL, slug="a", password="abacaxi"),
        api.get("/links/1"),
        api.get("/links"),
        api.patch("/links/1", title="t"),
        api.patch("/links/1", password="manga", version=2),
        api.patch("/links/1", password="manga", version=1),
        api.patch("/links/1", password="x" * 129),
    ]
    assert [answer.status_code for answer in answers] == [201, 200, 200, 200, 200, 409, 422]
    assert [answer.get_json()["has_password"] for answer in (*answers[:2], *answers[3:5])] == [True] * 4
    assert answers[5].get_json()["current"]["has_password"]
    for answer in answers:
        assert not any(
            secret in answer.text for secret in ("abacaxi", "manga", "argon2", "password_hash", "xxx")
        )
    framed = valkey.get(keys.link(domain.id, "a"))
    assert isinstance(framed, bytes) and link_snapshot.decode(framed).password_hash.startswith("$argon2id$")
    assert api.patch("/links/1", password=None).get_json()["has_password"] is False
    changes = select(LinkHistory.changed).where(LinkHistory.version > 1).order_by(LinkHistory.version)
    assert list(db.scalars(changes)) == [["title"], ["password"], ["password"]]


def test_it_suggests_the_address_that_was_meant(api: Caller) -> None:
    body = problem(api.post("/links", url="example.com/x"))
    assert body["suggestion"] == "https://example.com/x"


@pytest.mark.parametrize("text", ["", "{", "nonsense", '{"url": "a"', "\xff\xfe"])
def test_it_says_when_the_body_is_no_json(api: Caller, text: str) -> None:
    answer = api.send("POST", "/links", data=text.encode("latin-1"), content_type="application/json")
    assert problem(answer)["status"] in (400, 422)


@pytest.mark.parametrize("body", [[], "text", 7, True])
def test_it_wants_an_object(api: Caller, body: object) -> None:
    assert problem(api.send("POST", "/links", json=body))["status"] in (400, 422)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None]
)
def test_it_wants_json(api: Caller, kind: str | None) -> None:
    answer = api.send("POST", "/links", data="url=https://example.com", content_type=kind)
    assert problem(answer)["status"] == 415


def test_it_says_whose_a_taken_slug_is(api: Caller) -> None:
    first = api.post("/links", url=URL, slug="bf-tv", title="Smart TV 4K").get_json()
    for answer in (
        api.post("/links", url=URL, slug="BF-TV"),
        api.patch(f"/links/{api.post('/links', url=URL).get_json()['id']}", slug="bf-tv"),
    ):
        body = problem(answer)
        assert (answer.status_code, body["code"], body["link_id"]) == (409, "slug_taken", first["id"])
        assert body["suggestion"].lower() == "bf-tv-2"
        assert body["errors"][0]["field"] == "slug" and "Smart TV 4K" in body["detail"]


def test_it_changes_only_what_is_given(api: Caller, db: Session, domain: Domain, valkey: Redis) -> None:
    campaign = Campaign(name="Black Friday")
    db.add(campaign)
    db.commit()
    made = api.post("/links", url=URL, slug="a", title="T", tags=["x"]).get_json()
    path = f"/links/{made['id']}"
    body = api.patch(path, url="https://example.com/new", campaign_id=campaign.id, version=1).get_json()
    assert (body["version"], body["title"], body["tags"]) == (2, "T", ["x"])
    assert (body["url"], body["campaign_id"]) == ("https://example.com/new", campaign.id)
    framed = valkey.get(keys.link(domain.id, "a"))
    assert isinstance(framed, bytes) and link_snapshot.decode(framed).url == "https://example.com/new"
    body = api.patch(path, campaign_id=None, state="paused", tags=[]).get_json()
    assert (body["version"], body["campaign_id"], body["state"], body["tags"]) == (3, None, "paused", [])
    framed = valkey.get(keys.link(domain.id, "a"))
    assert isinstance(framed, bytes) and link_snapshot.decode(framed).state == "paused"
    assert api.get(path).get_json() == body
    assert api.send("PATCH", path, json={}).get_json()["version"] == 3


def test_it_refuses_a_stale_version_and_shows_the_link_of_now(api: Caller) -> None:
    made = api.post("/links", url=URL, slug="a").get_json()
    path = f"/links/{made['id']}"
    api.patch(path, title="First", version=1)
    answer = api.patch(path, title="Second", version=1)
    body = problem(answer)
    assert (answer.status_code, body["code"]) == (409, "stale_version")
    assert (body["current"]["title"], body["current"]["version"]) == ("First", 2)
    assert body["editor"] == "marketer's key"
    assert problem(api.delete(f"{path}?version=1"))["status"] == 409
    assert api.get(path).get_json()["title"] == "First"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"state": "deleted"}, "state"),
        ({"state": "gone"}, "state"),
        ({"version": 0}, "version"),
        ({"version": "1"}, "version"),
        ({"version": True}, "version"),
        ({"slug": ""}, "slug"),
        ({"url": ""}, "url"),
        ({"domain": None}, "domain"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_it_refuses_changes_that_make_no_link(api: Caller, fields: dict[str, Any], wrong: str) -> None:
    made = api.post("/links", url=URL, slug="a").get_json()
    assert set(errors(api.send("PATCH", f"/links/{made['id']}", json=fields))) == {wrong}
    assert api.get(f"/links/{made['id']}").get_json() == made


def test_it_deletes(api: Caller, domain: Domain, valkey: Redis) -> None:
    made = api.post("/links", url=URL, slug="a").get_json()
    path = f"/links/{made['id']}"
    answer = api.delete(path)
    assert (answer.status_code, answer.get_data()) == (204, b"")
    framed = valkey.get(keys.link(domain.id, "a"))
    assert isinstance(framed, bytes) and link_snapshot.decode(framed).state == "gone"
    for again in (api.get(path), api.delete(path), api.patch(path, title="x")):
        assert problem(again)["status"] == 404
    assert problem(api.post("/links", url=URL, slug="a"))["code"] == "slug_taken"
    assert api.get("/reports/summary", link_id=made["id"]).status_code == 200


@pytest.mark.parametrize(
    "number", ["0", "99", "9223372036854775807", "9223372036854775808", "x", "-1", "1.5"]
)
def test_it_finds_no_other_link(api: Caller, number: str) -> None:
    assert problem(api.get(f"/links/{number}"))["status"] == 404


def test_it_lists_finds_and_pages(api: Caller) -> None:
    for number in range(5):
        api.post("/links", url=f"{URL}{number}", slug=f"s{number}", title=f"Title {number}", tags=["x"])
    first = api.get("/links").get_json()["items"][0]
    assert first["slug"] == "s4" and first["clicks"] == 0 and first["version"] == 1
    page = api.get("/links", limit=2, page=2, sort="title", order="asc").get_json()
    assert [item["slug"] for item in page["items"]] == ["s2", "s3"]
    assert (page["total"], page["page"], page["pages"]) == (5, 2, 3)
    assert [item["slug"] for item in api.get("/links", q="title 3").get_json()["items"]] == ["s3"]
    api.patch(f"/links/{first['id']}", state="archived")
    api.delete(f"/links/{first['id'] - 1}")
    totals = {
        state: api.get("/links", state=state).get_json()["total"] for state in ("", "live", "archived", "all")
    }
    assert totals == {"": 4, "live": 3, "archived": 1, "all": 5}
    assert api.get("/links", domain="go.example.com", tag="X").get_json()["total"] == 4


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ({"page": "0"}, "page"),
        ({"page": "x"}, "page"),
        ({"limit": "201"}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"sort": "clicks;drop"}, "sort"),
        ({"order": "up"}, "order"),
        ({"state": "gone"}, "state"),
        ({"domain": "x.example.com"}, "domain"),
        ({"campaign_id": "-1"}, "campaign_id"),
        ({"serch": "x"}, "serch"),
    ],
)
def test_it_names_what_is_wrong_in_a_query(api: Caller, query: dict[str, str], wrong: str) -> None:
    assert set(errors(api.get("/links", **query))) == {wrong}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("[" * 100_000, 400),
        ('{"url": ' + "[" * 100_000 + "]" * 100_000 + "}", 400),
        ('{"url": "https://shop.example/", "campaign_id": ' + "9" * 5000 + "}", 400),
        ('{"url": "https://shop.example/", "domain": "\\ud800"}', 422),
        ('{"url": "https://shop.example/", "\\ud800": 1}', 422),
    ],
    ids=["nested", "nested and closed", "digits", "surrogate", "surrogate's name"],
)
def test_it_stands_any_body(api: Caller, body: str, status: int) -> None:
    answer = api.send("POST", "/links", data=body, content_type="application/json")
    assert answer.status_code == status
    assert problem(answer)


def test_it_finds_no_tag_that_can_not_be(api: Caller) -> None:
    assert api.get("/links", tag="\x00").get_json()["items"] == []


def test_it_sets_and_takes_away_a_links_time(api: Caller, domain: Domain, valkey: Redis) -> None:
    body = api.post(
        "/links",
        url=URL,
        slug="bf",
        starts_at="2026-11-27T00:00:00-03:00",
        expires_at="2026-11-28T00:00:00-03:00",
        fallback_url="https://example.com/over",
        redirect_status=307,
        no_referrer=True,
    ).get_json()
    assert (body["starts_at"], body["expires_at"]) == (
        "2026-11-27T03:00:00+00:00",
        "2026-11-28T03:00:00+00:00",
    )
    assert (body["fallback_url"], body["redirect_status"], body["no_referrer"]) == (
        "https://example.com/over",
        307,
        True,
    )
    assert api.patch(f"/links/{body['id']}", title="x").get_json()["starts_at"] == body["starts_at"]
    changed = api.patch(f"/links/{body['id']}", starts_at=None, fallback_url="").get_json()
    assert (changed["starts_at"], changed["expires_at"]) == (None, body["expires_at"])
    framed = valkey.get(keys.link(domain.id, "bf"))
    assert isinstance(framed, bytes)
    found = link_snapshot.decode(framed)
    assert (found.starts_ms, found.fallback_url, found.status) == (None, "", 307)


def test_it_warns_of_macros_that_are_none(api: Caller, db: Session, domain: Domain, valkey: Redis) -> None:
    campaign = Campaign(name="Black Friday")
    db.add(campaign)
    db.commit()
    body = api.post(
        "/links",
        url="https://example.com/?a={click_id}&b={colour}",
        slug="m",
        pass_query=False,
        click_id_param="subid",
        campaign_id=campaign.id,
    ).get_json()
    assert body["warnings"] == ["{colour} is no macro: it is left out of the address."]
    assert (body["pass_query"], body["click_id_param"]) == (False, "subid")
    framed = valkey.get(keys.link(domain.id, "m"))
    assert isinstance(framed, bytes)
    found = link_snapshot.decode(framed)
    assert (found.pass_query, found.click_id_param, found.campaign) == (False, "subid", "Black Friday")
    api.patch(f"/links/{body['id']}", campaign_id=None)
    framed = valkey.get(keys.link(domain.id, "m"))
    assert isinstance(framed, bytes) and link_snapshot.decode(framed).campaign == ""


def test_it_sets_and_takes_away_a_cap_and_says_who_counts(
    api: Caller, domain: Domain, db: Session, valkey: Redis
) -> None:
    body = api.post("/links", url=URL, slug="bf", click_cap=500).get_json()
    assert (body["click_cap"], body["cap_count"]) == (500, 0)
    path = f"/links/{body['id']}"
    valkey.hincrby(keys.CAP_COUNTS, str(body["id"]), 7)
    assert api.get(path).get_json()["cap_count"] == 7
    changed = api.patch(path, click_cap=501).get_json()
    assert (changed["click_cap"], changed["cap_count"], changed["version"]) == (501, 7, 2)
    assert api.get("/links").get_json()["items"][0]["click_cap"] == 501
    framed = valkey.get(keys.link(domain.id, "bf"))
    assert isinstance(framed, bytes) and link_snapshot.decode(framed).click_cap == 501
    freed = api.patch(path, click_cap=None).get_json()
    assert (freed["click_cap"], freed["cap_count"]) == (None, None)
    framed = valkey.get(keys.link(domain.id, "bf"))
    assert isinstance(framed, bytes) and link_snapshot.decode(framed).click_cap == 0
    history = db.scalars(select(LinkHistory).order_by(LinkHistory.version)).all()
    assert [row.fields["click_cap"] for row in history] == [500, 501, None]
    assert history[2].changed == ["click_cap"]


def test_it_sets_where_apps_are_opened(api: Caller, db: Session, domain: Domain, valkey: Redis) -> None:
    apps = {"ios_url": "myapp://a?c={colour}", "android_url": "https://app.example.com/a"}
    made = api.post("/links", url=URL, slug="a", **apps).get_json()
    assert {name: made[name] for name in apps} == apps
    assert made["warnings"] == ["{colour} is no macro: it is left out of the address."]
    changed = api.patch(f"/links/{made['id']}", ios_url="").get_json()
    assert (changed["ios_url"], changed["android_url"]) == ("", apps["android_url"])
    framed = valkey.get(keys.link(domain.id, "a"))
    assert isinstance(framed, bytes)
    found = link_snapshot.decode(framed).apps
    assert found is not None and (found.ios, found.android) == ("", apps["android_url"])
