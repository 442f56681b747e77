"""The form of an outgoing postback, and the log's filters as they stand in the address."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask_babel import lazy_gettext as _l
from wtforms import HiddenField, IntegerField, SelectField, SelectMultipleField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import InputRequired
from wtforms.widgets import CheckboxInput, ListWidget

from admin_flask.forms import PageForm, strip
from core.domain.conversions import APPROVED, PENDING, REFUNDED, REJECTED
from core.domain.sending import FORM, JSON, STATES, TEXT
from core.services.webhook_log import LogFilter
from core.services.webhooks import WebhookFields

FIRST_BODY = """{
  "click_id": "{click_id}",
  "order": "{order}",
  "status": "{status}",
  "amount": "{amount}",
  "currency": "{currency}",
  "time": "{time}"
}"""
"""What the body of a POST begins with."""

PERIODS: dict[str, timedelta | None] = {
    "hour": timedelta(hours=1),
    "day": timedelta(hours=24),
    "week": timedelta(days=7),
    "all": None,
}
"""How far back the log looks; "all" is as long as it is kept."""

RESEND_PERIODS = {name: ago for name, ago in PERIODS.items() if ago is not None}
"""Since when failed deliveries can be sent once more."""


class _WholeField(IntegerField):
    """A whole number; what is none is told in words of ours."""

    def process_formdata(self, valuelist: list[str]) -> None:
        try:
            super().process_formdata(valuelist)
        except ValueError as error:
            raise ValueError(_l("Type a whole number.")) from error


def _number(value: object) -> int | None:
    return int(str(value)) if value not in (None, "", "None") else None


class SendingForm(PageForm):
    """An outgoing postback as people type it. The service says what is wrong with each field; here only what is
    missing."""

    name = StringField(_l("Name"), filters=[strip])
    url = StringField(_l("Address"), filters=[strip])
    method = SelectField(_l("Method"), choices=[SelectChoice("GET"), SelectChoice("POST")])
    content_type = SelectField(
        _l("Type of the body"),
        choices=[
            SelectChoice(JSON, "JSON"),
            SelectChoice(FORM, _l("Form")),
            SelectChoice(TEXT, _l("Plain text")),
        ],
    )
    body = TextAreaField(_l("Body"))
    headers = TextAreaField(_l("Headers"))
    secret = StringField(_l("Secret"), filters=[strip])
    statuses = SelectMultipleField(
        _l("Statuses that are told"),
        choices=[
            SelectChoice(PENDING, _l("Pending")),
            SelectChoice(APPROVED, _l("Approved")),
            SelectChoice(REJECTED, _l("Rejected")),
            SelectChoice(REFUNDED, _l("Refunded")),
        ],
        widget=ListWidget(prefix_label=False),
        option_widget=CheckboxInput(),
    )
    events = StringField(_l("Events"), filters=[strip])
    source_id = SelectField(_l("Source"), coerce=_number)
    campaign_id = SelectField(_l("Campaign"), coerce=_number)
    link = StringField(_l("Link"), filters=[strip])
    percentage = _WholeField(_l("Percentage"), [InputRequired(_l("Type a number from 1 to 100."))])
    delay_s = _WholeField(_l("Delay"), [InputRequired(_l("Type a number of seconds."))])
    version = HiddenField()

    def fields(self) -> WebhookFields:
        """What was typed, as the service takes it."""
        return WebhookFields(
            name=self.name.data or "",
            url=self.url.data or "",
            method=self.method.data or "GET",
            body=(self.body.data or "").replace("\r\n", "\n"),
            content_type=self.content_type.data or JSON,
            headers=self.headers.data or "",
            secret=self.secret.data or "",
            statuses=tuple(self.statuses.data or ()),
            events=self.events.data or "",
            percentage=self.percentage.data if self.percentage.data is not None else 100,
            delay_s=self.delay_s.data or 0,
            source_id=self.source_id.data,
            campaign_id=self.campaign_id.data,
            link=self.link.data or "",
        )


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What the log shows, read from the query string. What can not be read filters nothing."""

    state: str = ""
    period: str = "all"
    conversion: int | None = None
    before: int | None = None

    @classmethod
    def from_query(cls, args: Mapping[str, str]) -> "LogQuery":
        """Read the filters of an address."""
        return cls(
            state=args["state"] if args.get("state") in STATES else "",
            period=args["period"] if args.get("period") in PERIODS else "all",
            conversion=_row_number(args.get("conversion", "")),
            before=_row_number(args.get("before", "")),
        )

    def as_service(self, *, now: datetime) -> LogFilter:
        """The same for the service."""
        ago = PERIODS[self.period]
        return LogFilter(
            state=self.state,
            conversion_id=self.conversion,
            since=now - ago if ago else None,
            before=self.before,
        )


def _row_number(text: str) -> int | None:
    typed = text.strip().removeprefix("#")
    return int(typed) or None if typed.isascii() and typed.isdigit() and len(typed) < 19 else None
