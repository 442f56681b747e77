"""Settings, coupons: codes that were given out with links."""

from flask import Response, abort, make_response, redirect, render_template, request, url_for
from flask_babel import gettext

from admin_flask.access import acting, needs
from admin_flask.forms import put_error
from admin_flask.held import db, held, moment
from admin_flask.sources.blueprint import blueprint
from admin_flask.sources.forms import CouponForm
from admin_flask.toasts import say
from core.services import coupons as service
from core.services.links import short_url


@blueprint.route("/coupons", methods=["GET", "POST"])
@needs("sources.view")
def coupons() -> Response:
    """Every coupon with its link. Whoever changes links gives out coupons, too."""
    form = CouponForm()
    return _put(form) if form.is_submitted() else _page(form)


@blueprint.post("/coupons/delete")
@needs("links.edit")
def delete_coupon() -> Response:
    """Nobody is credited by this code any more; what was, stays."""
    code = request.form.get("code", "")
    try:
        service.delete_coupon(db.session(), code=code, actor=acting(), now=moment())
    except service.CouponNotFound:
        abort(404)
    say(gettext("The coupon “%(code)s” is removed.", code=code))
    return _back()


@needs("links.edit")
def _put(form: CouponForm) -> Response:
    if form.validate():
        try:
            row = service.put_coupon(
                db.session(),
                code=form.code.data or "",
                link=form.link.data or "",
                actor=acting(),
                now=moment(),
            )
        except service.CouponRefused as refused:
            put_error(form[refused.field], refused.message)
        else:
            say(
                gettext(
                    "Sales with “%(code)s” are credited to %(link)s.",
                    code=row.code,
                    link=short_url(row.link, held().settings).partition("://")[2],
                )
            )
            return _back()
    return _page(form, status=422)


def _page(form: CouponForm, *, status: int = 200) -> Response:
    search = request.args.get("q", "")[:100]
    found, total = service.list_coupons(db.session(), search=search)
    text = render_template(
        "sources/coupons.html",
        form=form,
        search=search,
        coupons=[(row, short_url(row.link, held().settings)) for row in found],
        total=total,
        more=total - len(found),
    )
    return make_response(text, status)


def _back() -> Response:
    return make_response(redirect(url_for("sources.coupons"), 303))
