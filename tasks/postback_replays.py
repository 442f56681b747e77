"""Judging the postbacks of a source again, a batch at a time."""

import time
from datetime import UTC, datetime

from core.services.postback_replay import TASK, go_on, go_on_later
from tasks.registry import Context, task

LONGEST_S = 15.0
"""A message ends after this long and enqueues the next: a worker that drains waits for no more."""


@task(queue="system", name=TASK)
def replay(context: Context, replay_id: int) -> None:
    """Go on with a replay."""
    deadline = time.monotonic() + LONGEST_S
    currency = context.settings.report_currency
    while go_on(context.engine, replay_id, now=datetime.now(UTC), report_currency=currency):
        if time.monotonic() > deadline:
            go_on_later(context.engine, replay_id, now=datetime.now(UTC))
            return
