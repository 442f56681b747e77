"""The dot in the top bar, asked again by the page."""

from flask import Blueprint, render_template
from flask_login import current_user

from admin_flask.access import open_to_all, polled
from admin_flask.freshness.reading import read_freshness, signed_out
from admin_flask.held import held, moment

blueprint = Blueprint("freshness", __name__)


@blueprint.get("/freshness")
@open_to_all
@polled
def fragment() -> str:
    """The dot alone. Where the session has ended it says so, and leaves the page and what is typed there as it is."""
    dot = read_freshness(held().redis, now=moment()) if current_user.is_authenticated else signed_out()
    return render_template("_freshness.html", dot=dot)
