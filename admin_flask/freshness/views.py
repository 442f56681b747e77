"""The dot in the top bar, asked again by the page."""

from flask import Blueprint, render_template

from admin_flask.freshness.reading import read_freshness
from admin_flask.held import held, moment

blueprint = Blueprint("freshness", __name__)


@blueprint.get("/freshness")
def fragment() -> str:
    """The dot alone."""
    return render_template("_freshness.html", dot=read_freshness(held().redis, now=moment()))
