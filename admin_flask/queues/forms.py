"""Forms of the queues' pages."""

from flask_babel import lazy_gettext as _l
from wtforms import IntegerField, StringField
from wtforms.validators import InputRequired

from admin_flask.forms import PageForm, strip


class AlertsForm(PageForm):
    """Whom alerts go to, and when. What can be taken is the service's to say."""

    emails = StringField(_l("E-mail addresses"), filters=[strip])
    webhook_url = StringField(_l("Webhook"), filters=[strip])
    long_wait_s = IntegerField(
        _l("A wait is long after"), [InputRequired(_l("Type a number of seconds, such as 60."))]
    )
