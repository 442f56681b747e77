"""What a worker counts, for Prometheus. The names are part of the interface."""

from prometheus_client import Counter, Histogram

DONE = Counter("rastro_worker_done", "Entries whose work is done", ["queue"])
DEAD = Counter("rastro_worker_dead", "Entries moved to the dead letters", ["queue", "reason"])
RETRIED = Counter("rastro_worker_retried", "Messages put aside for a further attempt", ["queue"])
REDELIVERED = Counter(
    "rastro_worker_redelivered", "Entries taken over from a consumer that fell silent", ["queue"]
)
CLICKS = Counter("rastro_worker_clicks", "Clicks handed to the store, by what became of them", ["fate"])
WAITED = Counter("rastro_worker_waited", "Times that a worker waited for PostgreSQL or Redis", ["queue"])
SECONDS = Histogram(
    "rastro_worker_seconds",
    "Time that one call of a task or batch handler took",
    ["queue"],
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600),
)
