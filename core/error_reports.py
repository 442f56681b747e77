"""Error reports (Sentry): each error that nobody expected, once, without what visitors and people sent.

SENTRY_DSN switches them on; off, nothing of Sentry is imported. What is reported is every line of the log that carries
an exception, a warning at least, and every task that failed for good. The same error again is left out for a while, so
that a database that is away makes a few reports and not thousands. Reports are sent by a thread of their own; one that
nobody takes is lost.
"""

import re
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from core.config import OBSERVE_HINT, SettingError
from core.observe import current_request, without_private
from core.release import VERSION

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

QUIET_S = 300.0
"""How long the same error is left out after it was reported."""

MOST = 30
"""Reports of one process in QUIET_S seconds, of whatever errors."""

_LAST_REPORTS_S = 2
"""How long the end of a program waits for the last reports to be taken."""

_LEVELS = ("warning", "error", "critical")
_THEIR_LOGGERS = re.compile(r"(sentry_sdk|opentelemetry|urllib3)(\.|$)")
_SENT = (
    "event_id",
    "timestamp",
    "platform",
    "level",
    "exception",
    "tags",
    "contexts",
    "release",
    "environment",
    "server_name",
    "sdk",
)
"""Members of a report that leave the house. There is none for a request, a person, or what was logged before."""


class Throttle:
    """Lets a key pass once in `every` seconds, and `most` keys in that time. `clock` counts seconds."""

    def __init__(self, *, every: float, most: int, clock: Callable[[], float]) -> None:
        self._every = every
        self._most = most
        self._clock = clock
        self._passed: dict[object, float] = {}

    def admits(self, key: object) -> bool:
        """True when it may pass now. Threads that ask at the same moment may both hear yes."""
        now = self._clock()
        if now - self._passed.get(key, -self._every) < self._every:
            return False
        self._passed = {one: at for one, at in self._passed.items() if now - at < self._every}
        if len(self._passed) >= self._most:
            return False
        self._passed[key] = now
        return True


_throttle: Throttle | None = None


def check(dsn: str) -> None:
    """Raise SettingError when a DSN is set and can not be used, or the packages are not here."""
    if not dsn:
        return
    try:
        from sentry_sdk.utils import BadDsn, Dsn
    except ImportError as error:
        raise SettingError(f"SENTRY_DSN needs packages that are not here: {OBSERVE_HINT}.") from error
    try:
        Dsn(dsn)
    except (BadDsn, ValueError) as error:
        raise SettingError("SENTRY_DSN is no DSN, such as https://KEY@HOST/PROJECT.") from error


def start(program: str, dsn: str, *, clock: Callable[[], float] = time.monotonic) -> None:
    """Report the errors of this process to `dsn`; an error that ends it, too. Called in the process that does the work,
    after `check` and any fork."""
    global _throttle
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration

    sentry_sdk.init(
        dsn,
        release=f"rastro@{VERSION}",
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[ExcepthookIntegration(), AtexitIntegration(callback=lambda *_: None)],
        shutdown_timeout=_LAST_REPORTS_S,
        before_send=_leaving,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        auto_session_tracking=False,
        send_client_reports=False,
    )
    sentry_sdk.get_global_scope().set_tag("program", program)
    _throttle = Throttle(every=QUIET_S, most=MOST, clock=clock)


def report(error: BaseException, name: str, **tags: str) -> None:
    """Report an error under the `name` that the log has for it, unless the same one was reported just now."""
    if _throttle is None or not _throttle.admits((name, type(error), _place(error))):
        return
    import sentry_sdk

    with sentry_sdk.new_scope() as scope:
        for tag, value in {"event": name, "request": current_request(), **tags}.items():
            if value:
                scope.set_tag(tag, value)
        sentry_sdk.capture_exception(error)


def note(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """For structlog: report the exception that a line of the log carries. The line stays as it is."""
    info = event.get("exc_info")
    if not info or event.get("level") not in _LEVELS:
        return event
    error = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
    name = str(event.get("logger", ""))
    if isinstance(error, BaseException) and not _THEIR_LOGGERS.match(name):
        is_ours = event.get("_from_structlog") is not False  # a library's words may quote a path
        report(error, str(event.get("event", "")) if is_ours else name, logger=name)
    return event


def _place(error: BaseException) -> object:
    """Where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return None if trace is None else (trace.tb_frame.f_code, trace.tb_lineno)


def _leaving(event: "Event", _hint: "Hint") -> "Event | None":
    """Sentry's hook: what of a report may leave. Names that are not known to be harmless stay behind."""
    sent: Any = {name: value for name, value in event.items() if name in _SENT}
    for value in sent.get("exception", {}).get("values", ()):
        value["value"] = without_private(str(value.get("value") or ""))
        for frame in (value.get("stacktrace") or {}).get("frames", ()):
            frame.pop("vars", None)
    return sent  # type: ignore[no-any-return]
