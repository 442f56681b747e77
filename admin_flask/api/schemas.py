"""What the API takes and gives, by field. Unknown fields and other types are refused."""

from typing import Any

from flask_smorest import Api
from marshmallow import Schema, ValidationError, fields, validate

from core.db.tracking import DIMENSIONS
from core.domain.conditions import KINDS, WEEKDAYS
from core.domain.periods import INTERVALS
from core.services.link_list import SORTS
from core.services.link_rules import LARGEST_WEIGHT
from core.services.link_settings import LARGEST_CAP

_LARGEST = 2**63 - 1
STATES = ("live", "paused", "archived")


class Number(fields.Integer):
    """A whole number that a database holds; true and "7" are none in a body, "7" is one in a query."""

    def __init__(
        self, *, least: int = 1, most: int = _LARGEST, in_query: bool = False, **kwargs: Any
    ) -> None:
        bounds = validate.Range(least, most, error="This must be a whole number from {min} to {max}.")
        super().__init__(strict=not in_query, validate=bounds, **kwargs)

    def _validated(self, value: Any) -> int:
        if isinstance(value, bool) or (self.strict and not isinstance(value, int)):
            raise self.make_error("invalid", input=value)
        try:
            return super()._validated(value)
        except (OverflowError, ValueError) as error:
            if isinstance(error, ValidationError):
                raise
            raise self.make_error("invalid", input=value) from error


def one_of(values: tuple[str, ...]) -> validate.OneOf:
    return validate.OneOf(values, error=f"This must be one of {', '.join(filter(None, values))}.")


def _instant(about: str) -> fields.AwareDateTime:
    return fields.AwareDateTime(format="iso", allow_none=True, metadata={"description": about})


def _target(about: str) -> fields.String:
    return fields.String(metadata={"description": f'{about}; "" for a page that says so'})


def _app(about: str) -> fields.String:
    return fields.String(metadata={"description": f'address that opens an app on {about}; "" for none'})


def _flag(about: str) -> fields.Boolean:
    return fields.Boolean(truthy={True}, falsy={False}, metadata={"description": about})


class ConditionFields(Schema):
    """What a rule asks about a visit. `values` as docs/api.md says; one of them must fit (`is`), or none (`is_not`)."""

    kind = fields.String(required=True, validate=one_of(KINDS))
    op = fields.String(load_default="is", validate=one_of(("is", "is_not")))
    values = fields.List(fields.String(), load_default=list)
    name = fields.String(metadata={"description": "of a query parameter; with kind query alone"})
    zone = fields.String(metadata={"description": "a time zone; with kinds date and time alone"})
    weekdays = fields.List(fields.String(validate=one_of(WEEKDAYS)))


class VariantFields(Schema):
    """One destination of a split; `id` keeps the one that is there."""

    id = Number(allow_none=True)
    name = fields.String()
    url = fields.String(required=True)
    weight = Number(required=True, most=LARGEST_WEIGHT)


class RuleFields(Schema):
    """Where visitors go for whom all conditions hold: to `url`, or to one of `split`."""

    id = Number(allow_none=True)
    name = fields.String()
    conditions = fields.List(fields.Nested(ConditionFields), required=True)
    url = fields.String()
    split = fields.List(fields.Nested(VariantFields))


class LinkFields(Schema):
    """The fields of a link that may be set beside its destination."""

    slug = fields.String(metadata={"description": "1 to 64 letters, digits, - and _; random when left out"})
    domain = fields.String(
        metadata={"description": "host of one of your domains; the default one when left out"}
    )
    title = fields.String()
    notes = fields.String()
    campaign_id = Number(allow_none=True)
    tags = fields.List(fields.String())
    rules = fields.List(
        fields.Nested(RuleFields), metadata={"description": "the first that matches wins; replaces all rules"}
    )
    split = fields.List(
        fields.Nested(VariantFields), metadata={"description": "in place of `url`; replaces the whole split"}
    )
    starts_at = _instant("before it the link does not lead to its destination")
    expires_at = _instant("from it on the link does not lead to its destination")
    fallback_url = _target("where visitors are sent before the start, after the end and beyond the cap")
    click_cap = Number(
        allow_none=True,
        most=LARGEST_CAP,
        metadata={"description": "how many people the link leads to its destination; null for no limit"},
    )
    ios_url = _app("iOS, myapp://... or https://...")
    android_url = _app("Android, myapp://..., intent://... or https://...")
    redirect_status = Number(least=302, most=307, metadata={"enum": [302, 307]})
    no_referrer = _flag("the destination does not learn where its visitors come from")
    pass_query = _flag("the visitor's query is passed on to the destination")
    click_id_param = fields.String(
        metadata={"description": 'name under which the click id is added to the destination; "" for none'}
    )
    password = fields.String(
        allow_none=True,
        load_only=True,
        metadata={"description": "visitors have to give it; null takes it away; never shown again"},
    )


class NewLink(LinkFields):
    """A link to be made."""

    url = fields.String(required=True, metadata={"description": "http or https address, at most 8,192 bytes"})


class LinkChanges(LinkFields):
    """The fields that are given are changed; with `version`, only while it is the link's."""

    url = fields.String()
    state = fields.String(validate=one_of(STATES))
    version = Number()


class LinkQuery(Schema):
    """Which links, in which order, which page."""

    q = fields.String(load_default="")
    state = fields.String(load_default="", validate=one_of(("", *STATES, "deleted", "all")))
    domain = fields.String()
    campaign_id = Number(in_query=True)
    tag = fields.String(load_default="")
    owner_id = Number(in_query=True)
    sort = fields.String(load_default="created", validate=one_of(SORTS))
    order = fields.String(load_default="desc", validate=one_of(("asc", "desc")))
    page = Number(load_default=1, most=10_000_000, in_query=True)
    limit = Number(load_default=50, most=200, in_query=True)


class DeleteQuery(Schema):
    """Delete only this version."""

    version = Number(in_query=True)


class RangeQuery(Schema):
    """A range of time: RFC 3339, or plain dates in `tz`; `from` inclusive, `to` exclusive; the last 7 days when left
    out. Without `link_id`: all links together."""

    link_id = Number(in_query=True)
    from_text = fields.String(load_default="", data_key="from")
    to_text = fields.String(load_default="", data_key="to")
    tz = fields.String(load_default="")


class SeriesQuery(RangeQuery):
    """A range, and how it is cut."""

    interval = fields.String(load_default="day", validate=one_of(INTERVALS))


class BreakdownQuery(RangeQuery):
    """A range, and by what it is told apart."""

    by = fields.String(required=True, validate=one_of(DIMENSIONS))
    limit = Number(load_default=10, most=100, in_query=True)


class ClicksQuery(Schema):
    """The newest clicks first; `cursor` is `next` of the page before."""

    link_id = Number(in_query=True)
    cursor = fields.UUID(error_messages={"invalid_uuid": "This is no cursor that the API gave."})
    limit = Number(load_default=50, most=200, in_query=True)


class LinkOut(Schema):
    """A link."""

    id = fields.Integer()
    short_url = fields.String()
    domain = fields.String()
    slug = fields.String()
    url = fields.String()
    title = fields.String()
    notes = fields.String()
    state = fields.String()
    campaign_id = fields.Integer(allow_none=True)
    tags = fields.List(fields.String())
    rules = fields.List(fields.Nested(RuleFields))
    split = fields.List(fields.Nested(VariantFields))
    owner_id = fields.Integer(allow_none=True)
    starts_at = fields.String(allow_none=True)
    expires_at = fields.String(allow_none=True)
    fallback_url = fields.String()
    click_cap = fields.Integer(allow_none=True)
    ios_url = fields.String()
    android_url = fields.String()
    redirect_status = fields.Integer()
    no_referrer = fields.Boolean()
    pass_query = fields.Boolean()
    click_id_param = fields.String()
    has_password = fields.Boolean()
    warnings = fields.List(fields.String())
    version = fields.Integer()
    created_at = fields.String()
    updated_at = fields.String()


class LinkCountedOut(LinkOut):
    """A link, and how many people count for its cap; null without one."""

    cap_count = fields.Integer(allow_none=True)


class LinkRowOut(LinkOut):
    """A link in a list; `clicks` are people's of the last 7 days."""

    clicks = fields.Integer()


class LinkPageOut(Schema):
    """One page of links."""

    items = fields.List(fields.Nested(LinkRowOut))
    total = fields.Integer()
    page = fields.Integer()
    pages = fields.Integer()


class MoneyOut(Schema):
    """An amount."""

    amount = fields.String()
    currency = fields.String()


class SummaryOut(Schema):
    """`clicks` are people's, `bots` all others; together they are every redirect to a destination. `others` are all
    other answers, also those of a fallback. Of the `conversions`, `unrated` ones are not in the `revenue`."""

    link_id = fields.Integer(allow_none=True)
    from_ = fields.String(data_key="from", attribute="from")
    to = fields.String()
    clicks = fields.Integer()
    uniques = fields.Integer()
    bots = fields.Integer()
    others = fields.Integer()
    conversions = fields.Integer()
    unrated = fields.Integer()
    revenue = fields.Nested(MoneyOut)


class CountsOut(Schema):
    """Counts."""

    clicks = fields.Integer()
    uniques = fields.Integer()
    bots = fields.Integer()


class PointOut(CountsOut):
    """A bucket."""

    start = fields.String()


class SeriesOut(Schema):
    """Every bucket of the range, empty ones too."""

    link_id = fields.Integer(allow_none=True)
    from_ = fields.String(data_key="from", attribute="from")
    to = fields.String()
    interval = fields.String()
    tz = fields.String()
    points = fields.List(fields.Nested(PointOut))


class BreakdownRowOut(CountsOut):
    """Counts of one value; "" is none or unknown. Values of `rule` and `variant` are names; `id` tells them apart."""

    value = fields.String()
    id = fields.Integer(allow_none=True)


class BreakdownOut(Schema):
    """Counts over whole days of the organisation's zone; `rows` and `rest` add up to all."""

    link_id = fields.Integer(allow_none=True)
    by = fields.String()
    first_day = fields.String()
    last_day = fields.String()
    rows = fields.List(fields.Nested(BreakdownRowOut))
    rest = fields.Nested(CountsOut)


class ClickOut(Schema):
    """A click; `reason` says in a word why it was not counted."""

    id = fields.String()
    link_id = fields.Integer()
    at = fields.String()
    outcome = fields.String()
    counted = fields.Boolean()
    reason = fields.String()
    unique = fields.Boolean()
    country = fields.String()
    device = fields.String()
    browser = fields.String()
    os = fields.String()
    language = fields.String()
    referrer_host = fields.String()
    source = fields.String()


class ClickPageOut(Schema):
    """Clicks, and the cursor of the next page (null at the end)."""

    items = fields.List(fields.Nested(ClickOut))
    next = fields.String(allow_none=True)


class DomainEdit(Schema):
    """The fields that are given are changed."""

    brand = fields.String(metadata={"description": "the name that visitors read on its pages"})
    root_url = _target("where visitors of the bare host are sent")
    not_found_url = _target("where visitors of a slug that nobody owns are sent")
    expired_url = _target(
        "where visitors of a link that has ended or is full are sent, if it has no fallback"
    )
    source_param = fields.String(
        metadata={"description": 'query parameter that is kept with a click and not passed on; "" for none'}
    )
    apple_app_site_association = fields.Dict(
        allow_none=True, metadata={"description": "answered at /.well-known/apple-app-site-association"}
    )
    assetlinks = fields.List(
        fields.Dict(), allow_none=True, metadata={"description": "answered at /.well-known/assetlinks.json"}
    )


class DomainOut(Schema):
    """A host that short links live on."""

    id = fields.Integer()
    host = fields.String()
    brand = fields.String()
    is_default = fields.Boolean()
    case_sensitive = fields.Boolean()
    root_url = fields.String()
    not_found_url = fields.String()
    expired_url = fields.String()
    source_param = fields.String()
    apple_app_site_association = fields.Dict(allow_none=True)
    assetlinks = fields.List(fields.Dict(), allow_none=True)
    links = fields.Integer()
    created_at = fields.String()


class DomainListOut(Schema):
    """Every domain, the default first."""

    items = fields.List(fields.Nested(DomainOut))


class QueueOut(Schema):
    """One queue. `retrying` wait for their time, `dead` were set aside; `oldest_s` is the age of the oldest entry that
    waits or runs, 0 for none."""

    name = fields.String()
    waiting = fields.Integer()
    running = fields.Integer()
    retrying = fields.Integer()
    dead = fields.Integer()
    oldest_s = fields.Float()


class QueueListOut(Schema):
    """Every queue, in order of priority."""

    queues = fields.List(fields.Nested(QueueOut))


class FieldErrorOut(Schema):
    """What is wrong with one field."""

    field = fields.String()
    message = fields.String()


class ProblemOut(Schema):
    """An error (RFC 9457). `errors` with 422 and 409; `code` with 409: slug_taken or stale_version."""

    type = fields.String()
    title = fields.String()
    status = fields.Integer()
    detail = fields.String()
    code = fields.String()
    errors = fields.List(fields.Nested(FieldErrorOut))


class RastroApi(Api):
    """Flask-smorest for the arguments and the description alone: errors are answered by `problems`."""

    ERROR_SCHEMA = ProblemOut

    def _register_error_handlers(self) -> None:
        return None
