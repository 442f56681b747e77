"""The task that credits conversions anew, after a person has seen what would differ."""

from datetime import UTC, datetime

from core.services import attribution_runs
from tasks.registry import Context, task


@task(queue=attribution_runs.QUEUE, name=attribution_runs.TASK)
def reattribute(
    context: Context, source_id: int, start_s: int, end_s: int, model: str, by: str, person: str
) -> None:
    """Apply a run; `person` is who asked for it."""
    run = attribution_runs.run_of(source_id, start_s, end_s, model, by)
    attribution_runs.apply(context.engine, run=run, person=person, now=datetime.now(UTC))
