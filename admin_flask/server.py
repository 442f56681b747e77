"""gunicorn as the manager runs it: threads, the address from the settings, a log line of ours for each request."""

from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.config import Config
from gunicorn.glogging import Logger

from admin_flask import metrics
from admin_flask.app import create_app
from core import error_reports, telemetry
from core.config import Settings
from core.observe import setup_logging

PORT = 8000
GRACE_S = 20


class Log(Logger):
    """gunicorn's own words go where ours go, in the same format; it keeps no access log.

    That would hold addresses with their query, and so the secret of a link to a new password.
    """

    def setup(self, cfg: Config) -> None:
        """Add no handler: the root logger has ours."""
        self.error_log.setLevel("WARNING")
        self.error_log.propagate = True


class Server(BaseApplication):
    """gunicorn without its command line and files: every value comes from the settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Values that differ from gunicorn's own."""
        settings = self._settings
        values: dict[str, Any] = {
            "bind": [_bind(settings)],
            "worker_class": "gthread",
            "workers": settings.manager_processes,
            "threads": settings.manager_threads,
            "keepalive": 15,
            "timeout": 60,
            "graceful_timeout": GRACE_S,
            "post_worker_init": lambda _worker: metrics.show(settings),
            "logger_class": Log,
            "control_socket_disable": True,
            "proc_name": "rastro-manager",
            "worker_exit": lambda _arbiter, _worker: telemetry.stop(),
            "limit_request_line": 16384,
            "forwarded_allow_ips": "",
        }
        for name, value in values.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Made in each worker process, so that no connection and no thread is shared across a fork."""
        telemetry.start("manager", self._settings)
        return create_app(self._settings)


def serve(settings: Settings) -> None:
    """Run until told to stop. Requests in flight are finished within GRACE_S seconds."""
    setup_logging(
        "manager",
        log_format=settings.log_format,
        log_level=settings.log_level,
        note=error_reports.note if settings.sentry_dsn else None,
    )
    Server(settings).run()


def _bind(settings: Settings) -> str:
    """The socket that `rastro up` handed over, else the address of the settings."""
    if settings.manager_fd is not None:
        return f"fd://{settings.manager_fd}"
    port = PORT if settings.port is None else settings.port
    return f"[{settings.host}]:{port}" if ":" in settings.host else f"{settings.host}:{port}"
