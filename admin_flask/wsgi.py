"""The WSGI application for a server that wants it by name: `gunicorn admin_flask.wsgi:app`."""

from admin_flask.app import create_app
from core.config import Settings

app = create_app(Settings.from_env().require("database_url", "redis_url", "secret_key"))
