"""One's own account: name, time zone, password, theme, and the browsers one is signed in at."""

from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, Response, abort, make_response, redirect, render_template, request, url_for
from flask_babel import gettext

from admin_flask.access import me
from admin_flask.account.agents import browser_name
from admin_flask.account.forms import PasswordForm, ProfileForm
from admin_flask.addresses import came_from
from admin_flask.extensions import limiter, login_rate
from admin_flask.forms import put_error
from admin_flask.held import db, moment
from admin_flask.pages import THEMES
from admin_flask.toasts import say
from core.services import accounts

blueprint = Blueprint("account", __name__)
_YEAR_S = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Browser:
    """A place where the person is signed in."""

    id: int
    name: str
    ip: str | None
    seen_at: datetime
    is_this: bool


@blueprint.route("/account", methods=["GET", "POST"])
def profile() -> Response | tuple[str, int]:
    """Name and time zone, role, password, browsers."""
    form = ProfileForm(name=me().name, time_zone=me().time_zone or "")
    if form.validate_on_submit():
        try:
            accounts.change_profile(
                db.session(), user_id=me().id, name=form.name.data, time_zone=form.time_zone.data or None
            )
        except accounts.PersonRefused as refused:
            put_error(form.name, refused.message)
        else:
            say(gettext("Saved."))
            return _to_profile()
    status = 422 if form.is_submitted() else 200
    return render_template("account/profile.html", form=form, browsers=_browsers()), status


@blueprint.route("/account/password", methods=["GET", "POST"])
@limiter.limit(
    login_rate,
    key_func=lambda: f"password:{me().id}",
    methods=["POST"],
    deduct_when=lambda response: response.status_code != 303,
)
def password() -> Response | tuple[str, int]:
    """A new password ends every other session of the person."""
    form = PasswordForm()
    if form.validate_on_submit():
        try:
            accounts.change_password(
                db.session(),
                user_id=me().id,
                old=form.old_password.data,
                new=form.new_password.data,
                keep_session=me().session_id,
            )
        except accounts.WrongPassword:
            put_error(form.old_password, gettext("This is not your password of now."))
        except accounts.WeakPassword as weak:
            put_error(form.new_password, str(weak))
        else:
            say(gettext("Your new password is set. Every other browser was signed out."))
            return _to_profile()
    return render_template("account/password.html", form=form), 422 if form.is_submitted() else 200


@blueprint.post("/account/sessions/<int(max=9223372036854775807):session_id>/close")
def close_session(session_id: int) -> Response:
    """Sign out one browser of one's own."""
    if accounts.close_session_of(db.session(), user_id=me().id, session_id=session_id):
        say(gettext("That browser was signed out."))
    else:
        say(gettext("That browser was signed out already."))
    return _to_profile()


@blueprint.post("/account/sessions/close-others")
def close_others() -> Response:
    """Sign out every browser but this one."""
    accounts.close_other_sessions(db.session(), user_id=me().id, keep_session=me().session_id)
    say(gettext("Every other browser was signed out."))
    return _to_profile()


@blueprint.post("/theme")
def theme() -> Response:
    """Light, dark, or as the system; kept by the browser, since it belongs to the screen one sits at."""
    choice = request.form.get("theme", "")
    if choice not in THEMES:
        abort(400)
    response = make_response(redirect(came_from(), 303))
    response.set_cookie("theme", choice, max_age=_YEAR_S, secure=request.is_secure, samesite="Lax")
    return response


def _browsers() -> list[Browser]:
    rows = accounts.sessions_of(db.session(), user_id=me().id, now=moment())
    return [
        Browser(
            id=row.id,
            name=browser_name(row.user_agent or ""),
            ip=str(row.ip) if row.ip else None,
            seen_at=row.seen_at,
            is_this=row.id == me().session_id,
        )
        for row in rows
    ]


def _to_profile() -> Response:
    return make_response(redirect(url_for("account.profile"), 303))
