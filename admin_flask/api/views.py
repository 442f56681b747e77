"""The JSON API: what it is made of, its domains, and its description."""

from typing import Any

from flask import Flask, Response, current_app, jsonify

from admin_flask.access import open_to_all
from admin_flask.api import (  # noqa: F401 (views put themselves on the blueprint)
    conversion_views,
    link_views,
    postback_views,
    problems,
    queue_views,
    report_views,
)
from admin_flask.api.blueprint import DOMAIN_ID, blueprint, serve
from admin_flask.api.guard import caller
from admin_flask.api.problems import Problem
from admin_flask.api.schemas import DomainEdit, DomainListOut, DomainOut, RastroApi
from admin_flask.api.shapes import domain_json
from admin_flask.extensions import csrf
from admin_flask.held import db, held, moment
from core.services.domain_settings import edit_domain
from core.services.domains import DomainNotFound, list_domains

_ABOUT = """Links and reports of Rastro for programs. Send a key in the header `Authorization: Bearer KEY`. Errors are
problem+json (RFC 9457). Times are RFC 3339, money is {amount, currency}."""


def register_api(app: Flask) -> None:
    """Put the API below /api/v1 of `app`. Must come after the pages' error handlers, which it keeps for pages."""
    app.config.update(API_TITLE="Rastro", API_VERSION="v1", OPENAPI_VERSION="3.1.0", OPENAPI_URL_PREFIX=None)
    api = RastroApi(
        app,
        spec_kwargs={
            "info": {"description": _ABOUT},
            "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
            "security": [{"key": []}],
        },
    )
    api.register_blueprint(blueprint)
    app.extensions["rastro-api"] = api
    app.add_url_rule("/api/v1/openapi.json", "api-description", description)
    csrf.exempt(blueprint)  # no cookie is read here, so no other site can borrow one
    problems.register(app)


@serve("/domains", "domains.view", gives=DomainListOut)
def domains() -> dict[str, Any]:
    """Every domain, the default first."""
    return {"items": [domain_json(row) for row in list_domains(db.session())]}


@serve(f"/domains/{DOMAIN_ID}", "domains.edit", method="PATCH", body=DomainEdit, gives=DomainOut)
def change_domain(fields: dict[str, Any], domain_id: int) -> dict[str, Any]:
    """Change the fields that are given. Needs a key of an admin."""
    try:
        edit_domain(
            db.session(), domain_id=domain_id, actor=caller(), now=moment(), redis=held().redis, **fields
        )
    except DomainNotFound as error:
        raise Problem(404, str(error)) from error
    return next(domain_json(row) for row in list_domains(db.session()) if row.id == domain_id)


@open_to_all
def description() -> Response:
    """The API's description, OpenAPI 3.1. Open to all, as it names no data."""
    return jsonify(current_app.extensions["rastro-api"].spec.to_dict())
