"""A browser as tests drive it: keeps cookies, sends the token of the page it is on, says where it was led."""

import re

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse


class Browser:
    """A Flask test client at the manager's own address; `post` carries the CSRF token unless told not to."""

    def __init__(self, app: Flask, base_url: str) -> None:
        self.client: FlaskClient = app.test_client()
        self.base_url = base_url

    def get(self, path: str, *, htmx: bool = False, **kwargs: object) -> TestResponse:
        return self.client.get(path, base_url=self.base_url, **self._with(htmx, kwargs))

    def post(
        self,
        path: str,
        data: dict[str, object] | None = None,
        *,
        htmx: bool = False,
        token: bool = True,
        **kwargs: object,
    ) -> TestResponse:
        fields = dict(data or {})
        if token:
            fields["csrf_token"] = self.token()
        return self.client.post(path, base_url=self.base_url, data=fields, **self._with(htmx, kwargs))

    def follow(self, response: TestResponse) -> TestResponse:
        """The page that a redirect leads to."""
        assert response.status_code == 303, response.status
        return self.get(response.location)

    def token(self) -> str:
        """The CSRF token that forms of this session carry."""
        page = self.get("/account")
        if page.status_code != 200:
            page = self.get("/forgot")
        found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        assert found
        return found[1]

    def cookie(self, name: str) -> str | None:
        cookie = self.client.get_cookie(name, domain="localhost")
        return cookie.value if cookie else None

    @staticmethod
    def _with(htmx: bool, kwargs: dict[str, object]) -> dict[str, object]:
        if htmx:
            kwargs["headers"] = {"HX-Request": "true", **kwargs.get("headers", {})}  # type: ignore[dict-item]
        return kwargs
