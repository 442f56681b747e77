"""Forms of people who are not signed in."""

from flask_babel import lazy_gettext as _l
from wtforms import BooleanField, EmailField, HiddenField, PasswordField
from wtforms.validators import DataRequired, InputRequired, Length

from admin_flask.forms import PageForm, strip

_EMAIL = {"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"}


class SignInForm(PageForm):
    """E-mail and password; `next` is where to go on."""

    email = EmailField(
        _l("E-mail"),
        [DataRequired(_l("Type your e-mail address.")), Length(max=320)],
        filters=[strip],
        render_kw=_EMAIL,
    )
    password = PasswordField(
        _l("Password"),
        [InputRequired(_l("Type your password.")), Length(max=1000)],
        render_kw={"autocomplete": "current-password"},
    )
    keep = BooleanField(_l("Keep me signed in on this computer for 14 days"))
    next = HiddenField()


class ForgotForm(PageForm):
    """Where the link to a new password is sent."""

    email = EmailField(
        _l("E-mail"),
        [DataRequired(_l("Type your e-mail address.")), Length(max=320)],
        filters=[strip],
        render_kw=_EMAIL,
    )


class ResetForm(PageForm):
    """The new password, once: the eye shows what is typed."""

    password = PasswordField(
        _l("New password"),
        [InputRequired(_l("Type a new password."))],
        render_kw={"autocomplete": "new-password"},
    )
