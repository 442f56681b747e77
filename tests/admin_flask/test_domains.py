"""Settings, domains: list, add, make default."""

from collections.abc import Callable

import pytest
import redis
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.contracts import keys
from core.db.models import AuditLog, Domain
from tests.admin_flask.browser import Browser

Sit = Callable[..., Browser]


def test_it_adds_a_domain_and_tells_the_trackers(sit_down: Sit, db: Session, valkey: "redis.Redis") -> None:
    browser = sit_down("admin")
    answer = browser.post("/settings/domains/new", {"host": " Go.Aroeira.Example. ", "brand": "Casa Aroeira"})
    page = browser.follow(answer)
    assert "go.aroeira.example was added" in page.text
    row = db.scalars(select(Domain)).one()
    assert (row.host, row.brand, row.is_default, row.case_sensitive) == (
        "go.aroeira.example",
        "Casa Aroeira",
        True,
        False,
    )
    assert valkey.exists(keys.domain("go.aroeira.example"))
    assert (
        db.scalars(select(AuditLog.actor_name).where(AuditLog.action == "domain.add")).one() == "Marina Costa"
    )


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("", "Type a host name"),
        ("https://go.example.com", "Leave out what stands before the name"),
        ("go.example.com/x", "the host name alone"),
        ("go example.com", "a character that no host name has"),
        ("go.example.com:8080", "Leave out the port"),
    ],
)
def test_it_says_what_is_wrong_with_a_host_and_keeps_it(
    sit_down: Sit, db: Session, host: str, words: str
) -> None:
    answer = sit_down("admin").post("/settings/domains/new", {"host": host, "brand": "Casa"})
    assert answer.status_code == 422
    assert words in answer.text
    assert f'value="{host}"' in answer.text
    assert 'value="Casa"' in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert db.scalars(select(Domain)).all() == []


def test_it_refuses_a_domain_the_second_time(sit_down: Sit) -> None:
    browser = sit_down("admin")
    assert browser.post("/settings/domains/new", {"host": "go.example.com"}).status_code == 303
    answer = browser.post("/settings/domains/new", {"host": "GO.example.com"})
    assert answer.status_code == 422
    assert "go.example.com is one of your domains already" in answer.text


def test_it_makes_another_domain_the_default(sit_down: Sit, db: Session, valkey: "redis.Redis") -> None:
    browser = sit_down("admin")
    for host in ("a.example", "b.example"):
        browser.post("/settings/domains/new", {"host": host})
    other = db.scalars(select(Domain).where(Domain.host == "b.example")).one()
    for _ in range(2):  # the second time changes nothing
        page = browser.follow(browser.post(f"/settings/domains/{other.id}/default"))
        assert "New links start on b.example" in page.text
    db.expire_all()
    assert db.scalars(select(Domain.host).where(Domain.is_default)).all() == ["b.example"]


def test_it_knows_no_domain_that_is_not_there(sit_down: Sit) -> None:
    assert sit_down("admin").post("/settings/domains/999/default").status_code == 404


@pytest.mark.parametrize("role", ["marketer", "support", "viewer"])
def test_only_administrators_change_domains(sit_down: Sit, db: Session, role: str) -> None:
    browser = sit_down(role)
    page = browser.get("/settings/domains")
    assert page.status_code == 200
    assert "Add a domain" not in page.text
    assert browser.get("/settings/domains/new").status_code == 403
    assert browser.post("/settings/domains/new", {"host": "x.example"}).status_code == 403
    assert browser.post("/settings/domains/1/default").status_code == 403
    assert db.scalars(select(Domain)).all() == []


def test_it_changes_nothing_by_an_address_alone(sit_down: Sit) -> None:
    assert sit_down("admin").get("/settings/domains/1/default").status_code == 405


def test_it_changes_nothing_without_the_token(sit_down: Sit, db: Session) -> None:
    answer = sit_down("admin").post("/settings/domains/new", {"host": "x.example"}, token=False)
    assert answer.status_code == 419
    assert db.scalars(select(Domain)).all() == []
