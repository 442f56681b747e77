"""Rows of the list: links with their last seven days."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from admin_flask.access import zone
from admin_flask.held import moment, read_report
from admin_flask.links.shown import LinkShown, show_link
from core.db.models import Link
from core.db.reports import link_figures
from core.domain.periods import midnight

DAYS = 7


def first_midnight() -> datetime:
    """When the seven days of the list begin for whoever looks; today is the last of them."""
    return midnight(moment().astimezone(zone()).date() - timedelta(days=DAYS - 1), zone())


def rows_of(links: Sequence[Link]) -> list[LinkShown]:
    """`links`, each with its own domain, campaign and tags at hand, in the same order."""
    ids = [link.id for link in links]
    figures = read_report(link_figures, link_ids=ids, now=moment(), zone=zone(), days=DAYS)
    return [
        show_link(
            link,
            clicks=figures[link.id].clicks,
            uniques=figures[link.id].uniques,
            days=figures[link.id].spark,
            last_click=figures[link.id].last_click,
        )
        for link in links
    ]
