"""What the manager holds for every request: settings, Redis, the clock, the way to send mail."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from flask import Flask, current_app, g
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from redis import Redis
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session as OrmSession

from core.config import Settings
from core.db.engine import make_engine
from core.db.replica import Replica
from core.db.spans import trace_statements
from core.observe import REPORT_READS
from core.services.mail import Sender

_REPLICA = "rastro_replica"

P = ParamSpec("P")
T = TypeVar("T")


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


def hold_replica(app: Flask) -> None:
    """Have reports read from DATABASE_REPLICA_URL, where it is set. Nothing connects yet."""
    have: Held = app.extensions["rastro"]
    if not have.settings.database_replica_url:
        return
    url, threads = have.settings.database_replica_url, have.settings.manager_threads
    engine = make_engine(url, pool_size=threads, reads_only=True)
    trace_statements(engine)
    with app.app_context():
        app.extensions[_REPLICA] = Replica(engine, db.engine, later=have.later)
    app.teardown_appcontext(_close_replica_session)


def read_report(report: Callable[Concatenate[OrmSession, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a report says: `report(session, ...)`, whose answer must not depend on what this request has written.

    The session is one of the replica while that keeps up, else of the primary, as where the replica fails meanwhile.
    """
    replica: Replica | None = current_app.extensions.get(_REPLICA)
    if replica is not None:
        if "replica_session" not in g:
            g.replica_session = replica.session()
        if g.replica_session is not None:
            try:
                found = report(g.replica_session, *args, **kwargs)
            except SQLAlchemyError as error:
                if not replica.leaves(error):
                    raise
                _close_replica_session()
                g.replica_session = None
            else:
                REPORT_READS.labels("replica").inc()
                return found
    REPORT_READS.labels("primary").inc()
    return report(db.session(), *args, **kwargs)


def _close_replica_session(_error: BaseException | None = None) -> None:
    session: OrmSession | None = g.pop("replica_session", None)
    if session is not None:
        session.close()
