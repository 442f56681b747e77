"""What leaves the house about a program's work, and only where a setting says so: traces and error reports."""

from core import error_reports, traces
from core.config import Settings


def check(settings: Settings) -> None:
    """Raise SettingError when what the settings switch on can not be. Starts nothing, and while all is off imports
    nothing."""
    traces.check(settings.otel_exporter_otlp_endpoint)
    error_reports.check(settings.sentry_dsn)


def start(program: str, settings: Settings) -> None:
    """Switch on what the settings ask for, in this process. After `check`, and after any fork."""
    if settings.otel_exporter_otlp_endpoint:
        traces.start(
            program, settings.otel_exporter_otlp_endpoint, headers=settings.otel_exporter_otlp_headers
        )
    if settings.sentry_dsn:
        error_reports.start(program, settings.sentry_dsn)


def stop() -> None:
    """Send the last spans, for a few seconds at most. Error reports go at the very end of a process by themselves, the
    one about what ended it included."""
    traces.stop()
