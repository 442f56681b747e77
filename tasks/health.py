"""What a probe asks of a worker process: whether it must be started again, and whether it can do its work.

`/livez` answers for this process alone: a server that is away heals by itself, and starting every worker again would
only add to the outage. `/readyz` says whether both servers were reached of late; nobody sends a worker requests, so it
holds up a rollout whose workers reach nothing, and no more.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

LOOP, HEARTBEAT, REDIS, POSTGRES = "loop", "heartbeat", "redis", "postgres"

STALE_S = 60.0
"""Seconds after which what must happen again and again counts as stuck, or as not reached."""

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Health:
    """When each thing was last seen. `draining` says whether the process is about to end."""

    def __init__(self, *, draining: Callable[[], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._draining = draining
        self._clock = clock
        self._seen = dict.fromkeys((LOOP, HEARTBEAT), clock())

    def seen(self, what: str) -> None:
        """It has just happened."""
        self._seen[what] = self._clock()

    def live(self) -> dict[str, bool]:
        """Whether each thread that must move has moved; the main loop waits for the others while the process drains."""
        return {LOOP: self._draining() or self._is_fresh(LOOP), HEARTBEAT: self._is_fresh(HEARTBEAT)}

    def ready(self) -> dict[str, bool]:
        """Whether each server was reached, and the process goes on."""
        return {
            REDIS: self._is_fresh(REDIS),
            POSTGRES: self._is_fresh(POSTGRES),
            "working": not self._draining(),
        }

    def _is_fresh(self, what: str) -> bool:
        return self._clock() - self._seen.get(what, float("-inf")) <= STALE_S


def with_probes(metrics: App, health: Health) -> App:
    """A WSGI app that answers `/livez` and `/readyz` with 200 or 503 and the reasons, and everything else by
    `metrics`."""
    probes = {"/livez": health.live, "/readyz": health.ready}

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        probe = probes.get(environ.get("PATH_INFO", ""))
        return metrics(environ, start_response) if probe is None else _answer(probe(), start_response)

    return app


def _answer(signs: Mapping[str, bool], start_response: Callable[..., Any]) -> Iterable[bytes]:
    status = "200 OK" if all(signs.values()) else "503 Service Unavailable"
    start_response(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
    return [json.dumps(signs).encode()]
