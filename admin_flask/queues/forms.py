"""Forms of the queues' pages."""

from flask_babel import lazy_gettext as _l
from wtforms import IntegerField, StringField
from wtforms.validators import InputRequired

from admin_flask.forms import PageForm, strip

_SECONDS = _l("Type a number of seconds, such as 60.")


class _SecondsField(IntegerField):
    def process_formdata(self, valuelist: list[str]) -> None:
        try:
            super().process_formdata(valuelist)
        except ValueError as error:
            raise ValueError(_SECONDS) from error


class AlertsForm(PageForm):
    """Whom alerts go to, and when. What can be taken is the service's to say."""

    emails = StringField(_l("E-mail addresses"), filters=[strip])
    webhook_url = StringField(_l("Webhook"), filters=[strip])
    long_wait_s = _SecondsField(_l("A wait is long after"), [InputRequired(_SECONDS)])
