"""A program that calls the API with a key, and a domain to make links on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from core.config import Settings
from core.db.models import Domain
from core.services import accounts, domains
from core.services.actor import COMMAND
from tests.admin_flask.conftest import MORNING


@dataclass
class Caller:
    """Sends its key with every request; addresses are below /api/v1."""

    client: FlaskClient
    base_url: str
    key: str

    def send(self, method: str, path: str, **more: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        headers |= more.pop("headers", {})
        return self.client.open(
            f"/api/v1{path}", method=method, base_url=self.base_url, headers=headers, **more
        )

    def get(self, path: str, **query: Any) -> TestResponse:
        return self.send("GET", path, query_string={name.rstrip("_"): value for name, value in query.items()})

    def post(self, path: str, **fields: Any) -> TestResponse:
        return self.send("POST", path, json=fields)

    def patch(self, path: str, **fields: Any) -> TestResponse:
        return self.send("PATCH", path, json=fields)

    def delete(self, path: str) -> TestResponse:
        return self.send("DELETE", path)


@pytest.fixture
def domain(db: Session) -> Domain:
    """go.example.com, the default."""
    return domains.add_domain(db, host="go.example.com", actor=COMMAND, now=MORNING)


@pytest.fixture
def call_as(app: Flask, db: Session, settings: Settings) -> Callable[[str], Caller]:
    """`call_as("viewer")`: a program whose key has that role."""

    def make(role: str) -> Caller:
        _, plain = accounts.create_key(db, name=f"{role}'s key", role=role, actor=COMMAND, now=MORNING)
        return Caller(app.test_client(), settings.admin_url, plain)

    return make


@pytest.fixture
def api(call_as: Callable[[str], Caller], domain: Domain) -> Caller:
    """A marketer's program, where go.example.com is the default domain."""
    return call_as("marketer")


def problem(response: TestResponse) -> dict[str, Any]:
    """The body of an error, after looking at its form."""
    assert response.mimetype == "application/problem+json", response.get_data(as_text=True)
    body: dict[str, Any] = response.get_json(force=True)
    assert body["status"] == response.status_code and body["title"] and body["detail"]
    return body


def errors(response: TestResponse) -> dict[str, str]:
    """Field -> message of a 422."""
    assert response.status_code == 422, response.get_data(as_text=True)
    return {error["field"]: error["message"] for error in problem(response)["errors"]}
