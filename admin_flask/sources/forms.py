"""Forms of the sources' pages, and the way from their texts to a source's settings and back."""

from collections.abc import Iterable
from typing import Any

import msgspec
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from wtforms import (
    DateField,
    Field,
    HiddenField,
    IntegerField,
    RadioField,
    SelectField,
    SelectMultipleField,
    StringField,
    TextAreaField,
)
from wtforms.validators import InputRequired, NumberRange
from wtforms.widgets import CheckboxInput, ListWidget

from admin_flask.forms import PageForm, strip
from admin_flask.sources import words
from core.domain.conversions import DUPLICATES, STATUSES
from core.domain.presets import PRESETS
from core.domain.source_checks import ALGORITHMS, COVERS, ENCODINGS, MEANINGS, SourceRefused
from core.domain.sources import (
    AMOUNT_STYLES,
    ATTRIBUTIONS,
    FIELDS,
    MODELS,
    PAYOUTS,
    SignatureSettings,
    SourceSettings,
)

_ALONE = (
    "default_status",
    "default_event",
    "currency",
    "amounts",
    "duplicates",
    "window_days",
    "payout_kind",
    "payout",
    "reply",
    "model",
)
"""Settings that one control holds as they are."""

_SIGNATURE = ("header", "covers", "algorithm", "encoding", "prefix", "time_header", "tolerance_s")


class _Choices(SelectMultipleField):
    """Several of a few, as boxes to tick."""

    widget = ListWidget(prefix_label=False)
    option_widget = CheckboxInput()


class NewSourceForm(PageForm):
    """A source to be: what it is called, and which preset it starts from."""

    name = StringField(_l("Name"), [InputRequired(_l("Give it a name, such as the network's own."))])
    preset = RadioField(
        _l("Who sends"), choices={one.name: one.title for one in PRESETS.values()}, default="plain"
    )


class RotateForm(PageForm):
    """Another URL; the one before works for so many hours more."""

    hours = IntegerField(_l("Hours that the old URL works on"), [InputRequired()], default=168)
    seen = HiddenField()


class KeyForm(PageForm):
    """The key that a source signs with."""

    secret = StringField(_l("Signing key"), filters=[strip])


class RateForm(PageForm):
    """What one unit of a currency is worth, from a day on."""

    currency = StringField(
        _l("Currency"), [InputRequired(_l("Type its code, such as EUR."))], filters=[strip]
    )
    day = DateField(_l("From"), [InputRequired(_l("Choose the day that it holds from."))])
    rate = StringField(_l("Rate"), [InputRequired(_l("Type a number, such as 0.1845."))], filters=[strip])


class CouponForm(PageForm):
    """A coupon code, and the link that it was given out with."""

    code = StringField(_l("Code"), [InputRequired(_l("Type the code."))], filters=[strip])
    link = StringField(_l("Short link"), [InputRequired(_l("Paste the short link."))], filters=[strip])


class SourceForm(PageForm):
    """A source as people set it up. What can be taken is the service's to say."""

    name = StringField(_l("Name"), filters=[strip])
    version = HiddenField()
    default_status = SelectField(_l("Where it says nothing"))
    events = TextAreaField(_l("Events"))
    default_event = StringField(_l("Where it names no event"), filters=[strip])
    currency = StringField(_l("Currency"), filters=[strip])
    amounts = SelectField(_l("Amounts are written"))
    duplicates = SelectField(_l("A postback for a conversion that exists"))
    window_days = IntegerField(
        _l("Days after the click"), [InputRequired(_l("Type a number of days, 0 for ever.")), NumberRange()]
    )
    payout_kind = SelectField(_l("Paid out for a conversion"))
    payout = StringField(_l("How much"), filters=[strip])
    networks = TextAreaField(_l("Addresses that it sends from"))
    reply = StringField(_l("Answer"), filters=[strip])
    attribution = _Choices(_l("Whose a conversion is"))
    model = SelectField(_l("Of several conversions of the customer"))
    campaigns = _Choices(_l("Only for links of"), coerce=int)
    signature_header = StringField(_l("Header of the signature"), filters=[strip])
    signature_covers = SelectField(_l("It covers"))
    signature_algorithm = SelectField(_l("Algorithm"), choices={one: f"HMAC {one}" for one in ALGORITHMS})
    signature_encoding = SelectField(_l("Written as"), choices=list(ENCODINGS))
    signature_prefix = StringField(_l("Begins with"), filters=[strip])
    signature_time_header = StringField(_l("Header of the time stamp"), filters=[strip])
    signature_tolerance_s = IntegerField(_l("Seconds it may be off"), default=300)


for _field in FIELDS:
    setattr(SourceForm, f"field_{_field}", StringField(filters=[strip]))
for _meaning in MEANINGS:
    setattr(SourceForm, f"says_{_meaning}", StringField(filters=[strip]))


def source_form(
    name: str, version: int, settings: SourceSettings, campaigns: list[tuple[int, str]]
) -> SourceForm:
    """The form with its choices, filled with what is saved unless something was sent."""
    data: dict[str, Any] = {"name": name, "version": str(version)}
    data |= {field: getattr(settings, field) for field in _ALONE}
    data |= {f"field_{field}": ", ".join(settings.fields.get(field, ())) for field in FIELDS}
    for meaning in MEANINGS:
        data[f"says_{meaning}"] = ", ".join(
            said for said, means in settings.statuses.items() if means == meaning
        )
    data["events"] = "\n".join(f"{said} = {name}" for said, name in settings.events.items())
    data["networks"] = "\n".join(settings.networks)
    data["attribution"] = list(settings.attribution)
    data["campaigns"] = list(settings.campaigns)
    data |= {f"signature_{name}": getattr(settings.signature, name) for name in _SIGNATURE}
    form = SourceForm(data=data)
    form.default_status.choices = [(one, words.status_words(one)) for one in (*STATUSES, "")]
    form.amounts.choices = [(one, words.amounts_words(one)) for one in AMOUNT_STYLES]
    form.duplicates.choices = [(one, words.duplicates_words(one)) for one in DUPLICATES]
    form.payout_kind.choices = [(one, words.payout_words(one)) for one in PAYOUTS]
    form.model.choices = [(one, words.model_words(one)) for one in MODELS]
    form.attribution.choices = [(one, words.attribution_words(one)) for one in ATTRIBUTIONS]
    form.campaigns.choices = campaigns
    form.signature_covers.choices = list(
        zip(COVERS, (gettext("The body"), gettext("Time stamp, a dot, the body")), strict=True)
    )
    return form


def typed_settings(form: SourceForm) -> SourceSettings:
    """What was typed, not checked yet. Raises SourceRefused where it can not even be taken apart."""
    return SourceSettings(
        fields={field: _split(form[f"field_{field}"].data) for field in FIELDS},
        statuses=_statuses(form),
        events=_events(form.events.data or ""),
        networks=_split((form.networks.data or "").replace("\n", ",")),
        attribution=tuple(form.attribution.data or ()),
        campaigns=tuple(form.campaigns.data or ()),
        signature=msgspec.convert(
            {name: form[f"signature_{name}"].data or _signature_default(name) for name in _SIGNATURE},
            SignatureSettings,
        ),
        **{field: _text(form[field].data) for field in _ALONE},
    )


def control_of(form: SourceForm, field: str) -> Field:
    """The control that a refusal is about."""
    if field == "statuses":
        return form["says_approved"]
    name = field.replace("fields.", "field_").replace("signature.", "signature_")
    return form[name] if name in form else form["name"]


def _statuses(form: SourceForm) -> dict[str, str]:
    found: dict[str, str] = {}
    for meaning in MEANINGS:
        for said in _split(form[f"says_{meaning}"].data):
            if found.setdefault(said.lower(), meaning) != meaning:
                raise SourceRefused("statuses", gettext("“%(word)s” stands there twice.", word=said))
    return found


def _events(text: str) -> dict[str, str]:
    found = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        said, equals, name = line.rpartition("=")
        if not equals:
            raise SourceRefused(
                "events",
                gettext("Write a line for each: their word = yours. “%(line)s” has no =.", line=line),
            )
        found[said.strip()] = name.strip()
    return found


def _split(text: str | None) -> tuple[str, ...]:
    parts: Iterable[str] = (text or "").replace("\r", "").replace("\n", ",").split(",")
    return tuple(part.strip() for part in parts if part.strip())


def _text(value: Any) -> Any:
    return "" if value is None else value


def _signature_default(name: str) -> Any:
    return getattr(SignatureSettings(), name)
