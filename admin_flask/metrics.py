"""What the manager counts, for Prometheus. The names are part of the interface."""

from prometheus_client import Counter, Histogram

from core.config import Settings
from core.observe import logger, serve_metrics

log = logger(__name__)

ANSWERED = Counter("rastro_manager_answered", "Requests answered, by view and status", ["view", "status"])
SECONDS = Histogram(
    "rastro_manager_seconds",
    "Time that an answer took",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)


def show(settings: Settings) -> None:
    """Answer `/metrics` where METRICS_PORT is set: each process on the first free port from there on, as many as there
    are processes. Raises OSError when none is free."""
    if settings.metrics_port is None:
        return
    last = settings.metrics_port + settings.manager_processes - 1
    for wanted in range(settings.metrics_port, last + 1):
        try:
            port = serve_metrics(wanted, host=settings.host)
        except OSError:
            if wanted == last:
                raise
        else:
            log.info("manager.metrics", port=port)
            return
