"""The blueprint that every view module of the conversions' pages adds to."""

from flask import Blueprint

blueprint = Blueprint("conversions", __name__, url_prefix="/conversions")
