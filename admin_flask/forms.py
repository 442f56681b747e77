"""The form that all forms of the manager are made of."""

from typing import Any

from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from wtforms.fields import Field

from admin_flask.kept import draft


class PageForm(FlaskForm):
    """A form with its CSRF token. Opened at an address that names a draft, it is filled with what was typed."""

    class Meta(FlaskForm.Meta):
        def wrap_formdata(self, form: FlaskForm, formdata: Any) -> "MultiDict[str, str] | None":
            sent = super().wrap_formdata(form, formdata)
            return draft() if sent is None else sent


def strip(value: str | None) -> str | None:
    """Field filter: without the spaces that come along when a person pastes."""
    return value.strip() if value else value


def put_error(field: Field, message: str) -> None:
    """Show `message` at `field`: what a service found wrong after the form itself was content."""
    field.errors = [*field.errors, message]
