"""Links by the API: list, make, read, change, delete."""

from collections.abc import Iterable
from typing import Any

from flask import Response, url_for

from admin_flask.api.blueprint import ID, serve
from admin_flask.api.guard import caller
from admin_flask.api.schemas import (
    STATES,
    DeleteQuery,
    LinkChanges,
    LinkCountedOut,
    LinkPageOut,
    LinkQuery,
    NewLink,
)
from admin_flask.api.shapes import link_json
from admin_flask.held import db, held, moment
from core.db.models import Link
from core.services import links
from core.services.domains import domain_by_host
from core.services.link_caps import people_counted
from core.services.link_rules import condition_of
from core.services.links import LinkFilter, RuleFields, VariantFields

_STATES = {
    "": STATES,
    "all": (*STATES, "deleted"),
    **{state: (state,) for state in (*STATES, "deleted")},
}


@serve("/links", "links.view", query=LinkQuery, gives=LinkPageOut)
def list_links(query: dict[str, Any]) -> dict[str, Any]:
    """Links that match, page by page; deleted ones only with state=deleted or state=all."""
    domain = query.get("domain")
    found = links.find_links(
        db.session(),
        filter=LinkFilter(
            search=query["q"],
            states=_STATES[query["state"]],
            domain_id=None if domain is None else domain_by_host(db.session(), host=domain).id,
            campaign_id=query.get("campaign_id"),
            tag=query["tag"],
            owner_id=query.get("owner_id"),
            sort=query["sort"],
            descending=query["order"] == "desc",
            page=query["page"],
            size=query["limit"],
        ),
        now=moment(),
    )
    items = [{**link_json(row.link), "clicks": row.clicks} for row in found.rows]
    return {"items": items, "total": found.total, "page": found.page, "pages": found.pages}


@serve("/links", "links.edit", method="POST", body=NewLink, gives=LinkCountedOut, status=201)
def make_link(fields: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Make a link. Without `slug` it gets a random one."""
    link = links.create_link(
        db.session(), actor=caller(), now=moment(), redis=held().redis, **_values(fields)
    )
    return _counted(link), 201, {"Location": url_for("api.read_link", link_id=link.id)}


@serve(f"/links/{ID}", "links.view", gives=LinkCountedOut)
def read_link(link_id: int) -> dict[str, Any]:
    """One link. A deleted one is not found."""
    return _counted(links.get_link(db.session(), link_id=link_id))


@serve(f"/links/{ID}", "links.edit", method="PATCH", body=LinkChanges, gives=LinkCountedOut)
def change_link(fields: dict[str, Any], link_id: int) -> dict[str, Any]:
    """Change the fields that are given; with `version`, only while nobody else saved meanwhile (else 409)."""
    link = links.edit_link(
        db.session(),
        link_id=link_id,
        actor=caller(),
        now=moment(),
        redis=held().redis,
        **_values(fields),
    )
    return _counted(link)


@serve(f"/links/{ID}", "links.delete", method="DELETE", query=DeleteQuery, status=204)
def delete_link(query: dict[str, Any], link_id: int) -> Response:
    """Delete a link: its slug answers 410 and stays taken, its clicks stay."""
    links.delete_link(
        db.session(),
        link_id=link_id,
        version=query.get("version"),
        actor=caller(),
        now=moment(),
        redis=held().redis,
    )
    return Response(status=204)


def _counted(link: Link) -> dict[str, Any]:
    """A link, and how many people count for its cap."""
    return {**link_json(link), "cap_count": people_counted(db.session(), held().redis, link)}


def _values(fields: dict[str, Any]) -> dict[str, Any]:
    """What the services take: the domain's id in place of its host, rules and variants as values."""
    values = dict(fields)
    if "rules" in values:
        values["rules"] = [_rule(rule) for rule in values["rules"]]
    if "split" in values:
        values["split"] = _split(values["split"])
    host = values.pop("domain", None)
    if host is not None:
        values["domain_id"] = domain_by_host(db.session(), host=host).id
    return values


def _rule(fields: dict[str, Any]) -> RuleFields:
    conditions = tuple(condition_of(condition) for condition in fields["conditions"])
    return RuleFields(**{**fields, "conditions": conditions, "split": _split(fields.get("split", ()))})


def _split(variants: Iterable[dict[str, Any]]) -> tuple[VariantFields, ...]:
    return tuple(VariantFields(**fields) for fields in variants)
