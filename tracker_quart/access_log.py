"""One line in the log for every so many requests, to see what visitors meet. Off unless ACCESS_LOG_SAMPLE asks for it.

A line holds no query string, no full address, and nothing else that says who a visitor is.
"""

from uuid import UUID

from core.observe import logger
from tracker_quart.visit import Visit

log = logger(__name__)


class AccessLog:
    """Notes every `every`-th request. Belongs to one thread."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._left = every

    def is_due(self) -> bool:
        """Count a request, and say whether it is one to note: all that the others pay for (0.1 us)."""
        self._left -= 1
        if self._left:
            return False
        self._left = self._every
        return True

    def note(self, visit: Visit, *, status: int, outcome: str, seconds: float, click_id: bytes = b"") -> None:
        """Write a line about a request and its answer. `click_id` is empty where there was no click."""
        log.info(
            "access",
            method=visit.method,
            host=visit.host,
            path=visit.path,
            status=status,
            outcome=outcome,
            duration_ms=round(seconds * 1000, 3),
            ip=visit.ip,  # masked on its way out
            click=str(UUID(bytes=click_id)) if click_id else "",
        )


def access_log(every: int) -> AccessLog | None:
    """What notes every `every`-th request; None for 0, so that whoever has none pays for a look at None."""
    return AccessLog(every) if every else None
