"""The API's blueprint, and the one way to put a view on it: with a key, rights, arguments and answer."""

from collections.abc import Callable
from json import JSONDecodeError
from typing import Any, TypeVar

from flask import Request, abort
from flask_smorest import Blueprint
from marshmallow import RAISE, Schema
from webargs.flaskparser import FlaskParser

from admin_flask.api.guard import with_key


class _Parser(FlaskParser):
    """JSON that is too much to read (nested a thousand deep, a number of thousands of digits) is none."""

    def _raw_load_json(self, req: Request) -> Any:
        try:
            return super()._raw_load_json(req)
        except (JSONDecodeError, UnicodeDecodeError):
            raise
        except (RecursionError, ValueError):
            abort(400)


blueprint = Blueprint("api", __name__, url_prefix="/api/v1")
blueprint.ARGUMENTS_PARSER = _Parser()

ID, DOMAIN_ID, CONVERSION_ID = (
    f"<int(max=9223372036854775807):{name}>" for name in ("link_id", "domain_id", "conversion_id")
)
"""An id in an address: a larger number is no id, and so a 404."""

_View = TypeVar("_View", bound=Callable[..., object])


def serve(
    rule: str,
    permission: str,
    *,
    method: str = "GET",
    query: type[Schema] | None = None,
    body: type[Schema] | None = None,
    gives: type[Schema] | None = None,
    status: int = 200,
) -> Callable[[_View], _View]:
    """Serve `rule` below /api/v1 to keys whose role has `permission`.

    The view gets what `query` or `body` describe as its first argument, and returns what `gives` describes. The key is
    looked at first, so that a stranger learns nothing from what is said about fields.
    """

    def register(view: _View) -> _View:
        described = blueprint.response(status, gives)(view)
        if query is not None:
            described = blueprint.arguments(query, location="query", unknown=RAISE)(described)
        if body is not None:
            described = blueprint.arguments(body)(described)
        blueprint.route(rule, methods=[method])(with_key(permission)(described))
        return view

    return register
