"""The blueprint that every view module of the sources' pages adds to."""

from flask import Blueprint

blueprint = Blueprint("sources", __name__, url_prefix="/settings")
