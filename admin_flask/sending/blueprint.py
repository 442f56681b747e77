"""The blueprint that every view module of the pages about sending on adds to."""

from flask import Blueprint

blueprint = Blueprint("sending", __name__, url_prefix="/settings/sending")
