"""Settings: the domains that short links live on."""

from flask import Blueprint, Response, abort, make_response, redirect, render_template, url_for
from flask_babel import gettext

from admin_flask.access import acting, needs
from admin_flask.forms import put_error
from admin_flask.held import db, held, moment
from admin_flask.settings.forms import DomainForm
from admin_flask.toasts import say
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
        try:
            row = service.add_domain(
                db.session(),
                host=form.host.data,
                brand=form.brand.data or "",
                case_sensitive=bool(form.case_sensitive.data),
                actor=acting(),
                now=moment(),
                redis=held().redis,
            )
        except service.HostRefused as refused:
            put_error(form.host, refused.message)
        except service.DomainTaken as taken:
            put_error(form.host, gettext("%(host)s is one of your domains already.", host=taken.host))
        else:
            say(gettext("%(host)s was added. Point its name at the tracker.", host=row.host))
            return _to_domains()
    return render_template("settings/new_domain.html", form=form), 422 if form.is_submitted() else 200


@blueprint.post("/domains/<int(max=9223372036854775807):domain_id>/default")
@needs("domains.edit")
def make_default(domain_id: int) -> Response:
    """New links start on this domain from now on."""
    try:
        row = service.make_default(
            db.session(), domain_id=domain_id, actor=acting(), now=moment(), redis=held().redis
        )
    except service.DomainNotFound:
        abort(404)
    say(gettext("New links start on %(host)s.", host=row.host))
    return _to_domains()


def _to_domains() -> Response:
    return make_response(redirect(url_for("settings.domains"), 303))
