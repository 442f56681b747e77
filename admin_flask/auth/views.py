"""Sign in, sign out, a new password by mail; and the way back to a form that was interrupted."""

from datetime import datetime
from functools import partial
from typing import cast

from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask_babel import gettext
from flask_login import current_user
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.local import LocalProxy

from admin_flask.access import forget, me, open_to_all, remember, session_token, visitor_ip
from admin_flask.addresses import local_path
from admin_flask.auth.door import sign_in_page
from admin_flask.auth.forms import ForgotForm, ResetForm, SignInForm
from admin_flask.auth.known import counted_under, know_browser
from admin_flask.extensions import limiter, login_rate
from admin_flask.forms import put_error
from admin_flask.held import db, held, moment
from admin_flask.kept import Kept, give_back, kept_sent
from admin_flask.toasts import say
from core.observe import logger
from core.services import accounts

log = logger(__name__)

blueprint = Blueprint("auth", __name__)


def _account() -> str:
    return counted_under(request.form.get("email", ""))


def _was_refused(response: Response) -> bool:
    return response.status_code != 303


_per_ip = limiter.limit(login_rate, methods=["POST"], deduct_when=_was_refused)
_per_account = limiter.limit(login_rate, key_func=_account, methods=["POST"], deduct_when=_was_refused)
_mails_per_ip = limiter.limit(login_rate, methods=["POST"])


@blueprint.route("/login", methods=["GET", "POST"])
@open_to_all
@_per_ip
@_per_account
def login() -> Response:
    """The sign-in page. Wrong e-mail and wrong password give one and the same answer."""
    form = SignInForm(next=local_path(request.args.get("next")) or "")
    kept = kept_sent()
    if request.method == "GET":
        return _go_on() if current_user.is_authenticated else sign_in_page(form)
    if not form.validate_on_submit():
        return sign_in_page(form, status=422, kept=kept)
    user = accounts.authenticate(db.session(), email=form.email.data, password=form.password.data)
    if user is None:
        problem = gettext("E-mail and password do not match. Try again, or ask for a new password.")
        return sign_in_page(form, status=422, kept=kept, problem=problem)
    before = session_token()
    if before is not None:
        accounts.close_session(db.session(), token=before)
    token = accounts.open_session(
        db.session(),
        user=user,
        now=moment(),
        ip=visitor_ip(),
        agent=request.user_agent.string,
        keep=bool(form.keep.data),
    )
    session.clear()
    response = _back_to_form(kept, user.id) if kept else _go_on(form.next.data)
    remember(response, token, keep=bool(form.keep.data))
    know_browser(response, user.email)
    return response


@blueprint.post("/logout")
@open_to_all
def logout() -> Response:
    """End this browser's session."""
    token = session_token()
    if token is not None:
        accounts.close_session(db.session(), token=token)
    session.clear()
    say(gettext("You are signed out."))
    response = make_response(redirect(url_for("auth.login"), 303))
    forget(response)
    return response


@blueprint.post("/again")
def again() -> Response:
    """Back to a form whose page was too old, filled with what was typed."""
    kept = kept_sent()
    if kept is None:
        return make_response(redirect(url_for("start"), 303))
    return _back_to_form(kept, me().id)


@blueprint.route("/forgot", methods=["GET", "POST"])
@open_to_all
@_mails_per_ip
def forgot() -> tuple[str, int]:
    """Ask for a mail with a link to a new password. The answer does not tell who has an account, nor does its time:
    what is written for a person who has one is written beside it."""
    form = ForgotForm()
    if not form.validate_on_submit():
        return render_template("auth/forgot.html", form=form), 422 if form.is_submitted() else 200
    db.session.execute(text("select 1"))  # promise no mail while the database is away
    app = cast(LocalProxy[Flask], current_app)._get_current_object()
    held().later(partial(_request_reset, app, email=form.email.data, now=moment()))
    return render_template("auth/forgot_sent.html", email=form.email.data), 200


@blueprint.route("/reset/<token>", methods=["GET", "POST"])
@open_to_all
@_per_ip
def reset(token: str) -> Response | tuple[str, int]:
    """Set a new password with the link from the mail. Every session of the person ends."""
    form = ResetForm()
    if form.validate_on_submit():
        try:
            user = accounts.reset_password(
                db.session(), token=token, password=form.password.data, now=moment()
            )
        except accounts.ResetExpired:
            return render_template("auth/reset_expired.html"), 410
        except accounts.WeakPassword as weak:
            put_error(form.password, str(weak))
        else:
            session.clear()
            say(gettext("Your new password is set. Sign in with it."))
            response = make_response(redirect(url_for("auth.login"), 303))
            know_browser(response, user.email)
            return response
    return render_template("auth/reset.html", form=form, token=token), 422 if form.is_submitted() else 200


def _request_reset(app: Flask, *, email: str, now: datetime) -> None:
    with app.app_context():
        try:
            accounts.request_reset(
                db.session(), email=email, now=now, mailer=held().mailer, base_url=held().settings.admin_url
            )
        except SQLAlchemyError as error:
            log.error("manager.reset_not_asked", exc_info=error)


def _go_on(path: str | None = None) -> Response:
    wanted = local_path(path or request.args.get("next"))
    return make_response(redirect(wanted or url_for("start"), 303))


def _back_to_form(kept: Kept, person_id: int) -> Response:
    """Where Redis can not hold the draft, show what was typed, to be copied, rather than lose it."""
    back = give_back(kept, person_id=person_id)
    return back or make_response(render_template("auth/kept.html", kept=kept))
