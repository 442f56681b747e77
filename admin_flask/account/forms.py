"""Forms about oneself."""

from functools import lru_cache
from zoneinfo import available_timezones

from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from wtforms import PasswordField, SelectField, StringField
from wtforms.validators import DataRequired, InputRequired, Length

from admin_flask.filters import zone_name
from admin_flask.forms import PageForm, strip
from admin_flask.held import held

_REGIONS = ("Africa", "America", "Antarctica", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")


class ProfileForm(PageForm):
    """Name and time zone; the e-mail is changed by an administrator."""

    name = StringField(
        _l("Name"),
        [
            DataRequired(_l("Type your name.")),
            Length(max=100, message=_l("A name has at most 100 characters.")),
        ],
        filters=[strip],
        render_kw={"autocomplete": "name"},
    )
    time_zone = SelectField(_l("Time zone"))

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        theirs = gettext("As the organisation (%(zone)s)", zone=zone_name(held().settings.tz_default))
        self.time_zone.choices = [("", theirs), *((name, name.replace("_", " ")) for name in _zones())]


class PasswordForm(PageForm):
    """The password, known and new. Never carried along when a session ends."""

    old_password = PasswordField(
        _l("Password now"),
        [InputRequired(_l("Type your password of now.")), Length(max=1000)],
        render_kw={"autocomplete": "current-password"},
    )
    new_password = PasswordField(
        _l("New password"),
        [InputRequired(_l("Type a new password."))],
        render_kw={"autocomplete": "new-password"},
    )


@lru_cache(maxsize=1)
def _zones() -> tuple[str, ...]:
    names = (name for name in available_timezones() if name.partition("/")[0] in _REGIONS)
    return ("UTC", *sorted(names))
