"""Forms of Settings."""

from flask_babel import lazy_gettext as _l
from wtforms import BooleanField, StringField
from wtforms.validators import DataRequired, Length

from admin_flask.forms import PageForm, strip


class DomainForm(PageForm):
    """A new host for short links. What a host may be is the service's to say."""

    host = StringField(
        _l("Host name"), [DataRequired(_l("Type a host name, such as go.example.com."))], filters=[strip]
    )
    brand = StringField(
        _l("Name for visitors"),
        [Length(max=100, message=_l("At most 100 characters."))],
        filters=[strip],
    )
    case_sensitive = BooleanField(_l("Upper and lower case are different links"))
