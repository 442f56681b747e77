"""The manager as a program, and somebody at it who is signed in and has a key of the API."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine

from core.db.engine import make_sessions
from core.ops import servers
from core.services import accounts, domains
from core.services.actor import COMMAND
from tests.admin_flask.test_server import free_port, wait_for


class Manager:
    """`python -m admin_flask` in an environment. `engine` leads straight to the database, for what must be there
    first: a domain, a person, a key."""

    def __init__(self, environment: dict[str, str], engine: Engine, log: Path) -> None:
        port = free_port()
        self.url = f"http://localhost:{port}"
        self._log = log
        parent = os.getpid()
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "admin_flask"],
                env={**environment, "ADMIN_URL": self.url, "PORT": str(port)},
                stderr=file,
                preexec_fn=lambda: servers.die_with_parent(parent),
            )
        try:
            wait_for(f"{self.url}/livez", self._process, limit=60)
            token, key = _person(engine)
        except BaseException:
            self._end()
            raise
        self.browser = httpx.Client(base_url=self.url, cookies={"rastro_sid": token}, timeout=60)
        self.api = httpx.Client(
            base_url=f"{self.url}/api/v1", headers={"Authorization": f"Bearer {key}"}, timeout=60
        )

    def make_link(self, slug: str, url: str = "https://example.com/offer") -> dict[str, Any]:
        """By the API; the link as the answer has it."""
        answer = self.api.post("/links", json={"url": url, "slug": slug})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def send_form(
        self, path: str, fields: dict[str, str], *, before: Callable[[], None] = lambda: None
    ) -> httpx.Response:
        """Open the page of a form and send it, as a person does; `before` comes right before it is sent."""
        page = self.browser.get(path)
        found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        assert found, page.status_code
        before()
        return self.browser.post(path, data={**fields, "csrf_token": found[1]})

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def close(self) -> None:
        self.browser.close()
        self.api.close()
        self._end()
        assert self._process.returncode == 0, self.log()[-3000:]

    def _end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=60)


def _person(engine: Engine) -> tuple[str, str]:
    now = datetime.now(UTC)
    with make_sessions(engine)() as session:
        domains.add_domain(session, host="go.example.com", actor=COMMAND, now=now)
        user = accounts.create_user(
            session,
            email="ana@example.com",
            name="Ana",
            role="admin",
            password="three short words",
            actor=COMMAND,
            now=now,
        )
        token = accounts.open_session(
            session, user=user, now=now, ip="127.0.0.1", agent="Firefox/130 (Windows)", keep=False
        )
        _, key = accounts.create_key(session, name="a program", role="admin", actor=COMMAND, now=now)
        session.commit()
    return token, key
