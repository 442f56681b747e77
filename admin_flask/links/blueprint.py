"""The blueprint that every view module of the links' pages adds to."""

from flask import Blueprint

blueprint = Blueprint("links", __name__, url_prefix="/links")
