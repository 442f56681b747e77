"""Conversions to look at, of links that have clicks."""

from tests.admin_flask.links.conftest import click, domain, make_link

__all__ = ["click", "domain", "make_link"]  # fixtures
