"""The blueprint that every view module of the inbox adds to."""

from flask import Blueprint

blueprint = Blueprint("postbacks", __name__, url_prefix="/postbacks")
