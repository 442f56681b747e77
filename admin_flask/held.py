"""What the manager holds for every request: settings, Redis, the clock, the way to send mail."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from flask import current_app, g
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from redis import Redis
from sqlalchemy import Engine

from core.config import Settings
from core.db.engine import make_engine
from core.db.spans import trace_statements
from core.services.mail import Sender


@dataclass(frozen=True, slots=True)
class Held:
    """Made once by `create_app`; tests hand in their own clock and mailer. `later` runs something beside the answer."""

    settings: Settings
    redis: "Redis"
    clock: Callable[[], datetime]
    mailer: Sender
    later: Callable[[Callable[[], None]], None]


def in_thread(run: Callable[[], None]) -> None:
    """Run it in a thread of its own, so that the answer does not wait for it."""
    threading.Thread(target=run, name="later").start()


def held() -> Held:
    """What the running app holds."""
    return cast(Held, current_app.extensions["rastro"])


def moment() -> datetime:
    """The time of this request, UTC: one value from its first line to its last."""
    if "moment" not in g:
        g.moment = held().clock()
    return cast(datetime, g.moment)


class _Database(SQLAlchemy):
    """Flask-SQLAlchemy over core's own engine, so that pool and time-outs are said once."""

    def _make_engine(self, bind_key: str | None, options: dict[str, Any], app: Any) -> Engine:
        settings: Settings = app.extensions["rastro"].settings
        engine = make_engine(settings.database_url, pool_size=settings.manager_threads)
        trace_statements(engine)
        return engine


db = _Database(
    disable_autonaming=True,
    add_models_to_shell=False,
    session_options={"expire_on_commit": False, "class_": Session},
)
"""`db.session`, `db.paginate` over the models of core, which know nothing of Flask."""
