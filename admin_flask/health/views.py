"""Probes. `/livez` asks nobody; `/readyz` asks PostgreSQL, without which there is no page."""

from flask import Blueprint, Response, jsonify
from redis import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from admin_flask.access import open_to_all
from admin_flask.held import db, held

blueprint = Blueprint("health", __name__)


@blueprint.get("/livez")
@open_to_all
def livez() -> Response:
    """The process answers."""
    return jsonify(live=True)


@blueprint.get("/readyz")
@open_to_all
def readyz() -> tuple[Response, int]:
    """200 while PostgreSQL answers, else 503. Redis away is told, and no reason to take the manager out."""
    postgres = _postgres_answers()
    return jsonify(ready=postgres, postgres=postgres, redis=_redis_answers()), 200 if postgres else 503


def _postgres_answers() -> bool:
    try:
        db.session.execute(text("select 1"))
    except SQLAlchemyError:
        return False
    return True


def _redis_answers() -> bool:
    try:
        return bool(held().redis.ping())
    except RedisError:
        return False
