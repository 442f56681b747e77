"""`python -m tasks --pool default|track`: a worker process, or WORKER_PROCESSES of them."""

import argparse
import os
import sys

from core import telemetry
from core.config import SettingError, Settings
from core.observe import setup_logging
from tasks.queues import POOLS


def main() -> int:
    """Run until a signal says stop: 0. A setting that can not be used: one line, and 2."""
    parser = argparse.ArgumentParser(prog="rastro worker", description="Takes work from the queues.")
    parser.add_argument(
        "--pool",
        choices=tuple(POOLS),
        help="which queues to take from: default = every one, track = clicks alone (or WORKER_POOL)",
    )
    pool = parser.parse_args().pool or os.environ.get("WORKER_POOL", "").strip() or "default"
    try:
        if pool not in POOLS:
            raise SettingError(f"WORKER_POOL must be one of {', '.join(POOLS)}, not {pool!r}.")
        settings = Settings.from_env().require("database_url", "redis_url")
        telemetry.check(settings)
    except SettingError as error:
        print(error, file=sys.stderr)
        return 2
    if settings.worker_processes > 1:
        from tasks.processes import environments, supervise

        setup_logging("worker", log_format=settings.log_format, log_level=settings.log_level)
        told = environments(
            os.environ, processes=settings.worker_processes, metrics_port=settings.metrics_port
        )
        return supervise([sys.executable, *sys.orig_argv[1:]], environments=told)
    from tasks.main import run  # late: a bad setting is told at once, before everything is imported

    run(settings, pool=pool)
    return 0


if __name__ == "__main__":
    sys.exit(main())
