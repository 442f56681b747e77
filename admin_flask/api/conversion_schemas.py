"""What the API takes and gives about conversions, by field."""

from marshmallow import Schema, fields, validate

from admin_flask.api.schemas import MoneyOut, Number, one_of
from core.domain.conversions import STATUSES
from core.domain.sources import ATTRIBUTIONS
from core.services.conversion_list import SORTS
from core.services.conversions import LONGEST_REASON

MOST = 1_000
"""Conversions that one request may send."""

_LONGEST = 500


def _text(about: str = "", longest: int = _LONGEST) -> fields.String:
    return fields.String(
        validate=validate.Length(max=longest, error=f"At most {longest} characters."),
        metadata={"description": about} if about else {},
    )


class ConversionQuery(Schema):
    """Which conversions, in which order. `from` and `to` as for reports, by the conversions' own time; without both:
    of all times. `cursor` is `next` of the page before, of the same question."""

    q = fields.String(
        load_default="", metadata={"description": "the beginning of an order, a click id, a customer"}
    )
    link_id = Number(in_query=True)
    campaign_id = Number(in_query=True)
    source_id = Number(in_query=True)
    status = fields.String(load_default="", validate=one_of(STATUSES))
    event = fields.String(load_default="")
    attributed_by = fields.String(load_default="", validate=one_of(ATTRIBUTIONS))
    late = fields.Boolean(truthy={"true"}, falsy={"false"}, load_default=None)
    rated = fields.Boolean(truthy={"true"}, falsy={"false"}, load_default=None)
    from_text = fields.String(load_default="", data_key="from")
    to_text = fields.String(load_default="", data_key="to")
    tz = fields.String(load_default="")
    sort = fields.String(load_default="at", validate=one_of(SORTS))
    order = fields.String(load_default="desc", validate=one_of(("asc", "desc")))
    cursor = fields.String(load_default="")
    limit = Number(load_default=50, most=200, in_query=True)


class StatusChange(Schema):
    """Another status, and why; with `version`, only while it is the conversion's."""

    status = fields.String(required=True, validate=one_of(STATUSES))
    reason = fields.String(
        required=True, metadata={"description": f"stands in the history; at most {LONGEST_REASON} characters"}
    )
    version = Number()


class SentConversion(Schema):
    """A conversion as a shop tells it. Amounts are text such as "1234.56"; `fields` are kept with it."""

    click_id = _text()
    transaction_id = _text("the order; the same one again is the same conversion")
    event = _text("sale, lead, ...; the source's default when left out")
    status = _text("pending, approved, rejected, refunded, rebill, or a word of the source")
    amount = _text('"1234.56"')
    payout = _text()
    cost = _text()
    currency = _text("the source's when left out")
    customer_id = _text()
    coupon = _text()
    time = _text("RFC 3339; when it is received, when left out")
    fields_ = fields.Dict(keys=fields.String(), values=fields.String(), data_key="fields", attribute="fields")


class SentConversions(Schema):
    """One conversion, or up to 1,000, for a source by its id or name."""

    source = fields.Raw(required=True, metadata={"type": ["integer", "string"]})
    conversion = fields.Nested(SentConversion)
    conversions = fields.List(
        fields.Nested(SentConversion),
        validate=validate.Length(1, MOST, error=f"Send 1 to {MOST:,} conversions at once."),
    )


class ReceivedOut(Schema):
    """The ids of the postbacks, in the order of what was sent; each is in the inbox in a moment, with its verdict."""

    postbacks = fields.List(fields.String())


class ConversionOut(Schema):
    """A conversion. `counts` says whether it is in the reports; `report` amounts are null where no rate is known."""

    id = fields.Integer()
    source_id = fields.Integer()
    source = fields.String()
    transaction_id = fields.String()
    event = fields.String()
    status = fields.String()
    counts = fields.Boolean()
    rebill = fields.Boolean()
    repeat = fields.Integer()
    late = fields.Boolean()
    at = fields.String()
    link_id = fields.Integer(allow_none=True)
    rule_id = fields.Integer(allow_none=True)
    variant_id = fields.Integer(allow_none=True)
    click_id = fields.String(allow_none=True)
    clicked_at = fields.String(allow_none=True)
    attributed_by = fields.String()
    revenue = fields.Nested(MoneyOut)
    payout = fields.Nested(MoneyOut)
    cost = fields.Nested(MoneyOut)
    report_revenue = fields.Nested(MoneyOut, allow_none=True)
    report_payout = fields.Nested(MoneyOut, allow_none=True)
    report_cost = fields.Nested(MoneyOut, allow_none=True)
    rate = fields.String(allow_none=True)
    customer_id = fields.String()
    coupon = fields.String()
    fields_ = fields.Dict(data_key="fields", attribute="fields")
    version = fields.Integer()
    created_at = fields.String()
    updated_at = fields.String()


class ConversionPageOut(Schema):
    """Conversions, and the cursor of the next page (null at the end)."""

    items = fields.List(fields.Nested(ConversionOut))
    next = fields.String(allow_none=True)


class VersionOut(Schema):
    """A version of a conversion: who changed what (field -> before, after), and why."""

    version = fields.Integer()
    at = fields.String()
    actor = fields.String()
    action = fields.String()
    status = fields.String()
    changed = fields.Dict()
    reason = fields.String()


class ConversionTold(ConversionOut):
    """A conversion with its history, the newest version first."""

    history = fields.List(fields.Nested(VersionOut))
