"""The blueprint that every view module of the queues' pages adds to."""

from flask import Blueprint

blueprint = Blueprint("queues", __name__, url_prefix="/queues")
