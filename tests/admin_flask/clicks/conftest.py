"""Clicks to look at."""

from tests.admin_flask.links.conftest import click, domain, make_link

__all__ = ["click", "domain", "make_link"]  # fixtures
