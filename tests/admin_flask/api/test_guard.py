"""Who may call what: keys, roles, how often; and that every error below /api is a problem, never a page."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from redis import Redis
from sqlalchemy.orm import Session

from admin_flask.held import moment
from core.config import Settings
from core.db.models import Domain
from core.services import accounts, links
from core.services.actor import COMMAND
from core.services.redis_client import make_redis
from tests.admin_flask.api.conftest import Caller, problem
from tests.admin_flask.conftest import MORNING, Clock, MakeApp

URL = "https://example.com/tv"
EVERYBODY, EDITORS, CLICKS = (
    ("admin", "marketer", "support", "viewer"),
    ("admin", "marketer"),
    ("admin", "marketer", "support"),
)
ENDPOINTS: list[tuple[str, str, dict[str, Any] | None, tuple[str, ...]]] = [
    ("GET", "/links", None, EVERYBODY),
    ("POST", "/links", {"url": URL}, EDITORS),
    ("GET", "/links/1", None, EVERYBODY),
    ("PATCH", "/links/1", {"title": "x"}, EDITORS),
    ("DELETE", "/links/1", None, EDITORS),
    ("GET", "/domains", None, EVERYBODY),
    ("GET", "/reports/summary", None, EVERYBODY),
    ("GET", "/reports/timeseries", None, EVERYBODY),
    ("GET", "/reports/breakdown?by=country", None, EVERYBODY),
    ("GET", "/clicks", None, CLICKS),
    ("GET", "/postbacks", None, CLICKS),
]


@pytest.mark.parametrize("role", EVERYBODY)
def test_it_lets_each_role_do_what_the_table_says(
    call_as: Callable[[str], Caller], domain: Domain, db: Session, role: str
) -> None:
    api = call_as(role)
    for method, path, body, roles in ENDPOINTS:
        links.restore_link(db, link_id=_link(db), actor=COMMAND, now=MORNING)
        answer = api.send(method, path, json=body) if body else api.send(method, path)
        if role in roles:
            assert answer.status_code in (200, 201, 204), (method, path, answer.get_data())
        else:
            assert answer.status_code == 403, (method, path)
            assert role in problem(answer)["detail"]


def _link(db: Session) -> int:
    """Link 1, made when it is not there yet."""
    try:
        return links.get_link(db, link_id=1, deleted_too=True).id
    except links.LinkNotFound:
        return links.create_link(db, url=URL, slug="one", actor=COMMAND, now=MORNING).id


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Basic dTpw",
        "Bearer rst_" + "x" * 40,
        "Bearer rst_" + "\u00e9" * 40,
        "rst_" + "x" * 40,
        "Bearer " + "x" * 5000,
    ],
)
def test_it_wants_a_key(api: Caller, header: str | None) -> None:
    api.key = ""
    headers = {} if header is None else {"Authorization": header}
    for method, path, body, _ in ENDPOINTS:
        answer = api.send(method, path, headers=headers, json=body)
        assert problem(answer)["status"] == 401
        assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="Rastro"')


def test_it_takes_a_revoked_key_no_more(api: Caller, db: Session) -> None:
    assert api.get("/links").status_code == 200
    accounts.revoke_key(db, key_id=1, actor=COMMAND, now=MORNING)
    assert problem(api.get("/links"))["status"] == 401


def test_it_never_reads_the_session_of_a_browser(app: Flask, sit_down: Callable[..., Any]) -> None:
    browser = sit_down("admin")
    answer = browser.client.get("/api/v1/links", base_url=browser.base_url)
    assert answer.status_code == 401
    assert "Set-Cookie" not in answer.headers


def test_it_sets_no_cookie(api: Caller) -> None:
    assert "Set-Cookie" not in api.get("/links").headers
    assert "Set-Cookie" not in api.post("/links", url=URL).headers


def test_it_slows_a_key_down_and_no_other(
    settings: Settings, make_app: MakeApp, db: Session, domain: Domain, clock: Clock
) -> None:
    app = make_app(dataclasses.replace(settings, api_rate=3))
    callers = []
    for name in ("a", "b"):
        _, plain = accounts.create_key(db, name=name, role="viewer", actor=COMMAND, now=MORNING)
        callers.append(Caller(app.test_client(), settings.admin_url, plain))
    first, second = callers
    clock.pass_by(timedelta(seconds=50))
    assert [first.get("/links").status_code for _ in range(5)] == [200, 200, 200, 429, 429]
    answer = first.get("/links")
    assert (problem(answer)["status"], answer.headers["Retry-After"]) == (429, "10")
    assert second.get("/links").status_code == 200
    clock.pass_by(timedelta(seconds=10))
    assert first.get("/links").status_code == 200


def test_it_answers_while_redis_is_away(
    settings: Settings, make_app: MakeApp, db: Session, domain: Domain, tmp_path: object
) -> None:
    redis: Redis = make_redis(f"unix://{tmp_path}/nothing.sock")
    app = make_app(dataclasses.replace(settings, api_rate=3), redis=redis)
    _, plain = accounts.create_key(db, name="a", role="marketer", actor=COMMAND, now=MORNING)
    api = Caller(app.test_client(), settings.admin_url, plain)
    assert api.post("/links", url=URL).status_code == 201
    assert [api.get("/links").status_code for _ in range(5)] == [200] * 5


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/", 404),
        ("GET", "/links/", 404),
        ("PUT", "/links", 405),
        ("POST", "/links/1", 405),
        ("DELETE", "/reports/summary", 405),
        ("PATCH", "/clicks", 405),
    ],
)
def test_it_answers_with_problems_where_there_is_nothing(
    api: Caller, method: str, path: str, status: int
) -> None:
    answer = api.send(method, path)
    assert problem(answer)["status"] == status
    if status == 405:
        assert "GET" in answer.headers["Allow"] or "POST" in answer.headers["Allow"]


def test_it_answers_with_a_problem_at_a_wrong_host_or_from_another_site(api: Caller) -> None:
    api.base_url = "http://evil.example"
    assert problem(api.get("/links"))["status"] == 400
    api.base_url = "http://localhost:8000"
    answer = api.send("POST", "/links", json={"url": URL}, headers={"Origin": "https://evil.example"})
    assert problem(answer)["status"] == 403


def test_it_answers_with_a_problem_when_the_body_is_too_large(api: Caller) -> None:
    assert problem(api.post("/links", url=URL, notes="x" * 600_000))["status"] in (413, 422)


def test_it_tells_nothing_of_what_broke(api: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("the secret word")

    monkeypatch.setattr("core.services.links.get_link", broken)
    api.client.application.config["PROPAGATE_EXCEPTIONS"] = False
    answer = api.get("/links/1")
    assert problem(answer)["status"] == 500
    assert problem(answer)["request_id"] == answer.headers["X-Request-ID"]
    assert "secret" not in answer.get_data(as_text=True)


def test_it_says_when_the_database_is_away(settings: Settings, make_app: MakeApp, tmp_path: object) -> None:
    app = make_app(dataclasses.replace(settings, database_url=f"postgresql+psycopg://x:y@/x?host={tmp_path}"))
    answer = Caller(app.test_client(), settings.admin_url, "rst_" + "x" * 40).get("/links")
    assert (problem(answer)["status"], answer.headers["Retry-After"]) == (503, "5")


def test_it_leaves_pages_their_own_errors(app: Flask, settings: Settings) -> None:
    answer = app.test_client().get("/apix", base_url=settings.admin_url)
    assert (answer.status_code, answer.mimetype) == (404, "text/html")


def test_it_has_one_time_for_a_request(app: Flask, clock: Clock) -> None:
    with app.test_request_context("/api/v1/links"):
        first = moment()
        clock.pass_by(timedelta(seconds=1))
        assert moment() == first
