"""The sign-in page, also where it stands in for a page that could not be shown."""

from flask import Response, render_template, request
from flask_babel import gettext

from admin_flask.addresses import local_path
from admin_flask.auth.forms import SignInForm
from admin_flask.htmx import hx_whole_page
from admin_flask.kept import Kept, kept_now, kept_sent


def sign_in_page(
    form: SignInForm,
    *,
    status: int = 200,
    kept: Kept | None = None,
    note: str = "",
    problem: str = "",
) -> Response:
    """The form, with what was typed elsewhere carried along. `note` explains, `problem` says what is wrong."""
    text = render_template("auth/login.html", form=form, kept=kept, note=note, problem=problem)
    return hx_whole_page(text, status)


def sign_in_again() -> Response:
    """In place of an answer to a form whose session has ended: 401, and what was typed is carried along."""
    kept = kept_now()
    form = SignInForm(formdata=None, next=kept.shown_at if kept else local_path(request.path))
    note = (
        gettext("Your session ended. Sign in, and what you typed is there again; nothing was saved yet.")
        if kept and kept.fields
        else gettext("Your session ended, so nothing was changed. Sign in and do it again.")
    )
    return sign_in_page(form, status=401, kept=kept, note=note)


def sign_in_refused(problem: str, *, status: int) -> Response:
    """A sign-in that was not even tried (too many, page too old): the same page, the e-mail kept."""
    return sign_in_page(SignInForm(), status=status, kept=kept_sent(), problem=problem)
