"""`python -m tracker_quart`: the redirect service, until it is told to stop."""

import sys
from asyncio import Runner

import uvloop

from core import error_reports
from core.config import SettingError, Settings
from core.observe import setup_logging
from tracker_quart.server import serve

BAD_SETTING, NO_PORT = 2, 3


def main() -> int:
    """Run the tracker. Returns 0 after a drained stop, 2 for a bad setting, 3 when its port can not be had."""
    try:
        settings = Settings.from_env().require("redis_url")
        error_reports.check(settings.sentry_dsn)
    except SettingError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_SETTING
    setup_logging(
        "tracker",
        log_format=settings.log_format,
        log_level=settings.log_level,
        note=error_reports.note if settings.sentry_dsn else None,
    )
    if settings.sentry_dsn:
        error_reports.start("tracker", settings.sentry_dsn)
    try:
        with Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except OSError as error:
        sys.stderr.write(f"The tracker can not listen on {settings.host}: {error.strerror or error}.\n")
        return NO_PORT
    return 0


if __name__ == "__main__":
    sys.exit(main())
