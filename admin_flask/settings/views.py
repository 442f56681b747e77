"""Settings: the domains that short links live on."""

from flask import Blueprint, Response, make_response, redirect, render_template, url_for

from admin_flask.access import needs
from admin_flask.held import db
from admin_flask.settings.forms import DomainForm
from core.services import domains as service

blueprint = Blueprint("settings", __name__, url_prefix="/settings")


@blueprint.get("/domains")
@needs("domains.view")
def domains() -> str:
    """Every domain, the default first."""
    return render_template("settings/domains.html", domains=service.list_domains(db.session()))


@blueprint.route("/domains/new", methods=["GET", "POST"])
@needs("domains.edit")
def new_domain() -> Response | tuple[str, int]:
    """Add a host; the tracker answers for it at once."""
    form = DomainForm()
    if form.validate_on_submit():
        pass
    return render_template("settings/new_domain.html", form=form), 422 if form.is_submitted() else 200


@blueprint.post("/domains/<int:domain_id>/default")
@needs("domains.edit")
def make_default(domain_id: int) -> Response:
    """New links start on this domain from now on."""
    return make_response(redirect(url_for("settings.domains"), 303))
