"""The blueprint that every view module of the links' pages adds to."""

from flask import Blueprint
from werkzeug.routing import IntegerConverter, Map

_LARGEST = 2**63 - 1


class RowId(IntegerConverter):
    """The id of a row in an address: `<row:link_id>`. A number that no row can have is no page."""

    def __init__(self, map: Map) -> None:
        super().__init__(map, min=1, max=_LARGEST)


blueprint = Blueprint("links", __name__, url_prefix="/links")
blueprint.record_once(lambda state: state.app.url_map.converters.update(row=RowId))
