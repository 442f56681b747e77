"""Rows as the API shows them: plain values, ready for JSON."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from admin_flask.held import held
from core.db.models import Link
from core.db.reports import Breakdown, ClickRow, ConversionSums, Point, Summary
from core.domain.destination import unknown_macros
from core.services.domains import DomainRow
from core.services.link_rules import rules_json, split_json
from core.services.link_settings import settings_of
from core.services.links import short_url


def link_json(link: Link) -> dict[str, Any]:
    """A link with everything that may be set."""
    return {
        "id": link.id,
        "short_url": short_url(link, held().settings),
        "domain": link.domain.host,
        "slug": link.slug,
        "url": link.url,
        "title": link.title,
        "notes": link.notes,
        "state": link.state,
        "campaign_id": link.campaign_id,
        "tags": [tag.name for tag in link.tags],
        "rules": rules_json(link),
        "split": split_json(link),
        "owner_id": link.owner_id,
        **settings_of(link),
        "has_password": bool(link.password_hash),
        "warnings": _warnings(link),
        "version": link.version,
        "created_at": link.created_at.isoformat(),
        "updated_at": link.updated_at.isoformat(),
    }


def domain_json(row: DomainRow) -> dict[str, Any]:
    """A domain."""
    return {
        "id": row.id,
        "host": row.host,
        "brand": row.brand,
        "is_default": row.is_default,
        "case_sensitive": row.case_sensitive,
        "root_url": row.root_url,
        "not_found_url": row.not_found_url,
        "expired_url": row.expired_url,
        "source_param": row.source_param,
        "apple_app_site_association": row.apple_app_site_association,
        "assetlinks": row.assetlinks,
        "links": row.links,
        "created_at": row.created_at.isoformat(),
    }


def summary_json(counts: Summary, sums: ConversionSums) -> dict[str, Any]:
    """The figures of a range."""
    return {
        "clicks": counts.clicks,
        "uniques": counts.uniques,
        "bots": counts.bots,
        "others": counts.others,
        "conversions": sums.conversions,
        "unrated": sums.unrated,
        "revenue": money_json(sums.revenue, held().settings.report_currency),
    }


def money_json(amount: Decimal, currency: str) -> dict[str, str]:
    """An amount with all its decimals, two at least."""
    text = f"{amount.normalize():f}"
    whole, _, decimals = text.partition(".")
    return {"amount": f"{whole}.{decimals:0<2}", "currency": currency}


def point_json(point: Point, zone: ZoneInfo) -> dict[str, Any]:
    """A bucket; its start is written in the zone that was asked for."""
    return {
        "start": _in(point.start, zone),
        "clicks": point.clicks,
        "uniques": point.uniques,
        "bots": point.bots,
    }


def breakdown_json(found: Breakdown, names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Rows with the most clicks, and all others together. With `names`, values are ids that have these names."""

    def said(value: str) -> dict[str, Any]:
        if names is None:
            return {"value": value}
        return {"value": names.get(value, value), "id": int(value) if value else None}

    return {
        "rows": [
            {**said(row.value), "clicks": row.clicks, "uniques": row.uniques, "bots": row.bots}
            for row in found.rows
        ],
        "rest": {"clicks": found.rest.clicks, "uniques": found.rest.uniques, "bots": found.rest.bots},
    }


def click_json(click: ClickRow) -> dict[str, Any]:
    """One click, and why it was not counted, where it was not."""
    return {
        "id": str(click.id),
        "link_id": click.link_id,
        "at": click.at.isoformat(),
        "outcome": click.outcome,
        "counted": click.counted,
        "reason": click.reason,
        "unique": click.unique,
        "country": click.country,
        "device": click.device,
        "browser": click.browser,
        "os": click.os,
        "language": click.language,
        "referrer_host": click.referrer_host,
        "source": click.source,
    }


def _warnings(link: Link) -> list[str]:
    """What looks like a macro in any destination and is none, each once."""
    variants = [variant for split in (link.split, *(rule.split for rule in link.rules)) for variant in split]
    own = (link.url, link.ios_url, link.android_url)
    urls = [*own, *(rule.url for rule in link.rules), *(variant.url for variant in variants)]
    macros = dict.fromkeys(macro for url in urls for macro in unknown_macros(url))
    return [f"{macro} is no macro: it is left out of the address." for macro in macros]


def _in(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).isoformat()
