"""What the API takes and gives about postbacks."""

from marshmallow import Schema, fields, validate

from admin_flask.api.schemas import MoneyOut, Number
from core.domain.conversions import VERDICTS


class PostbackQuery(Schema):
    """The newest first; `cursor` is `next` of the page before."""

    search = fields.String(
        load_default="",
        validate=validate.Length(max=500),
        metadata={
            "description": "an order, a click id (8 characters at least) or any other value, typed whole, in any case"
        },
    )
    verdict = fields.String(
        load_default="",
        validate=validate.OneOf(("", *VERDICTS), error=f"This must be one of {', '.join(VERDICTS)}."),
    )
    source_id = Number(least=0, in_query=True, metadata={"description": "0: of no source"})
    from_text = fields.String(data_key="from", load_default="")
    to_text = fields.String(data_key="to", load_default="")
    cursor = fields.UUID(error_messages={"invalid_uuid": "This is no cursor that the API gave."})
    limit = Number(load_default=50, most=200, in_query=True)


class PostbackOut(Schema):
    """A postback: what became of it, why (a code, and the facts that belong to it), and what was read."""

    id = fields.String()
    at = fields.String()
    source_id = fields.Integer(allow_none=True)
    source = fields.String()
    verdict = fields.String()
    why = fields.Dict()
    click_id = fields.String(allow_none=True)
    transaction_id = fields.String()
    event = fields.String()
    status = fields.String()
    amount = fields.Nested(MoneyOut, allow_none=True)
    conversion_id = fields.Integer(allow_none=True)
    answered = fields.Integer()
    judged_at = fields.String(allow_none=True)


class PostbackPageOut(Schema):
    """Postbacks, and the cursor of the next page (null at the end)."""

    items = fields.List(fields.Nested(PostbackOut))
    next = fields.String(allow_none=True)


class LineOut(Schema):
    """A parameter, and what it was read as; a default has no name."""

    name = fields.String()
    value = fields.String()
    read_as = fields.String()
    result = fields.String()
    note = fields.String()


class PostbackWholeOut(PostbackOut):
    """A postback with its request as it came. `address` is shortened for who may not see it; what of the body is no
    UTF-8 is replaced."""

    kind = fields.String()
    method = fields.String()
    query = fields.String()
    content_type = fields.String()
    body = fields.String()
    address = fields.String()
    user_agent = fields.String()
    refused = fields.String()
    lines = fields.List(fields.Nested(LineOut))
