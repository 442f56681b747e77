"""The form in which the fields of a source are changed as a trial."""

from collections.abc import Mapping
from typing import Any

import msgspec
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from wtforms import IntegerField, RadioField, SelectField, StringField, TextAreaField
from wtforms.fields import Field
from wtforms.validators import InputRequired

from admin_flask.forms import PageForm, put_error, strip
from core.domain.conversions import STATUSES
from core.domain.source_checks import MEANINGS, SourceRefused, check_settings
from core.domain.sources import AMOUNT_STYLES, AUTO, COMMA, FIELDS, MINOR, POINT, SourceSettings
from core.services.postback_replay import DAYS

_PREFIX = "field_"


class TryForm(PageForm):
    """How the parameters of a source are read. The other settings stay as they are."""

    version = IntegerField(validators=[InputRequired()])
    days = RadioField(coerce=int, default=7)
    field_click_id = StringField(_l("Click id"), filters=[strip])
    field_transaction_id = StringField(_l("Order"), filters=[strip])
    field_amount = StringField(_l("Amount"), filters=[strip])
    field_currency = StringField(_l("Currency"), filters=[strip])
    field_status = StringField(_l("Status"), filters=[strip])
    field_event = StringField(_l("Event"), filters=[strip])
    field_payout = StringField(_l("Payout"), filters=[strip])
    field_cost = StringField(_l("Cost"), filters=[strip])
    field_customer_id = StringField(_l("Customer"), filters=[strip])
    field_coupon = StringField(_l("Coupon"), filters=[strip])
    field_time = StringField(_l("Time"), filters=[strip])
    statuses = TextAreaField(_l("Words for statuses"))
    default_status = SelectField(_l("Without a status"))
    events = TextAreaField(_l("Words for events"))
    amounts = SelectField(_l("Amounts are written"))
    currency = StringField(_l("Currency where none is sent"), filters=[strip])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.days.choices = [(days, _days_word(days)) for days in DAYS]
        self.default_status.choices = [(status, _status(status)) for status in ("", *STATUSES)]
        self.amounts.choices = [(style, _style(style)) for style in AMOUNT_STYLES]

    @property
    def parameters(self) -> list[Field]:
        """The fields that name parameters, in the order of FIELDS."""
        return [self[f"{_PREFIX}{name}"] for name in FIELDS]

    def settings(self, base: SourceSettings) -> SourceSettings | None:
        """The settings of `base` with what was typed; None where a field can not be taken, which then says why."""
        statuses = self._pairs(self.statuses)
        events = self._pairs(self.events)
        if statuses is None or events is None:
            return None
        fields = {name: _names(self[f"{_PREFIX}{name}"].data or "") for name in FIELDS}
        changed = msgspec.structs.replace(
            base,
            fields={name: names for name, names in fields.items() if names},
            statuses=statuses,
            default_status=self.default_status.data or "",
            events=events,
            amounts=self.amounts.data or AUTO,
            currency=self.currency.data or "",
        )
        try:
            return check_settings(changed)
        except SourceRefused as refused:
            self.refuse(refused.field, refused.message)
            return None

    def refuse(self, field: str, message: str) -> None:
        """Show what a service found wrong at the field that it names."""
        name = field.replace("fields.", _PREFIX, 1)
        put_error(self._fields.get(name, self.field_click_id), message)

    def _pairs(self, field: Field) -> dict[str, str] | None:
        """Lines of `word = meaning`."""
        pairs: dict[str, str] = {}
        for line in filter(None, ((field.data or "").strip().splitlines())):
            word, equals, meaning = (part.strip() for part in line.rpartition("="))
            if not line.strip():
                continue
            if not (word and equals and meaning):
                put_error(
                    field, gettext("“%(line)s”: write a word, = and what it means.", line=line.strip()[:60])
                )
                return None
            pairs[word.lower()] = meaning.lower()
        return pairs


def form_of(settings: SourceSettings, *, version: int) -> TryForm:
    """The form, filled with settings."""
    return TryForm(
        **{f"{_PREFIX}{name}": ", ".join(settings.fields.get(name, ())) for name in FIELDS},
        version=version,
        statuses=_lines(settings.statuses),
        default_status=settings.default_status,
        events=_lines(settings.events),
        amounts=settings.amounts,
        currency=settings.currency,
    )


def meanings() -> str:
    """What a word for a status may mean."""
    return ", ".join(MEANINGS)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _lines(pairs: Mapping[str, str]) -> str:
    return "\n".join(f"{word} = {meaning}" for word, meaning in pairs.items())


def _days_word(days: int) -> str:
    return gettext("last 24 hours") if days == 1 else gettext("last %(num)s days", num=days)


def _status(status: str) -> str:
    return {
        "": gettext("can not be read"),
        "pending": gettext("pending"),
        "approved": gettext("approved"),
        "rejected": gettext("rejected"),
        "refunded": gettext("refunded"),
    }[status]


def _style(style: str) -> str:
    return {
        AUTO: gettext("found out from each"),
        POINT: "1,234.56",
        COMMA: "1.234,56",
        MINOR: gettext("in cents"),
    }[style]
