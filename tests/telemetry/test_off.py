"""Off, as by default, nothing of it is there; and what is switched on must be able to work."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from sqlalchemy.orm import Session

from core.contracts import keys
from tests.faults.programs import until
from tests.telemetry.conftest import Start
from tests.telemetry.receivers import Collector
from tests.tracker_quart.conftest import Publisher

ROOT = Path(__file__).resolve().parents[2]
THEIRS = (
    "opentelemetry.sdk.trace",
    "opentelemetry.exporter",
    "opentelemetry.proto",
    "sentry_sdk",
    "requests",
)
"""What ours would import. redis-py by itself imports OpenTelemetry's metrics wherever they are installed."""

NOT_INSTALLED = (
    "import sys; sys.modules.update(opentelemetry=None, sentry_sdk=None, requests=None, google=None)"
)


def theirs(modules: set[str]) -> list[str]:
    return sorted(name for name in modules if name.startswith(THEIRS))


@pytest.mark.parametrize("before", ["", NOT_INSTALLED], ids=["installed", "not_installed"])
def test_it_imports_nothing_where_it_is_off(
    start: Start, key: dict[str, str], db: Session, valkey: redis.Redis, before: str
) -> None:
    Publisher(valkey).world()
    manager = start("admin_flask", before=before)
    worker = start("tasks", "--pool", "default", before=before)
    tracker = start("tracker_quart", before=before)
    assert tracker.ask("/sale")[0] == 302
    body = {"url": "https://shop.example/", "slug": "offer"}
    assert manager.ask("/api/v1/links", body=body, headers=key)[0] == 201
    until(lambda: valkey.exists(keys.link(1, "offer")))
    until(lambda: valkey.xlen(keys.stream("track")) == 0)  # the click is stored
    assert [program.stop() for program in (manager, worker, tracker)] == [0, 0, 0]
    assert "admin_flask.app" in manager.imported()  # it was the process that does the work which told
    assert "tasks.clicks" in worker.imported()
    assert "tracker_quart.connection" in tracker.imported()
    for program in (manager, worker, tracker):
        imported = program.imported() - (
            {"opentelemetry", "sentry_sdk", "requests", "google"} if before else set()
        )
        assert theirs(imported) == []


def test_it_never_traces_a_redirect(start: Start, collector: Collector, valkey: redis.Redis) -> None:
    Publisher(valkey).world()
    tracker = start("tracker_quart", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert tracker.ask("/sale")[0] == 302
    assert tracker.stop() == 0
    assert collector.bodies == []
    assert theirs(tracker.imported()) == []


def test_it_has_no_call_on_the_way_of_a_redirect() -> None:
    """The tracker's `main` alone knows of error reports, and nothing in it of traces."""
    named = {
        path.name: {
            alias.name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        & {"error_reports", "telemetry", "traces"}
        for path in (ROOT / "tracker_quart").glob("*.py")
    }
    assert {name: found for name, found in named.items() if found} == {"__main__.py": {"error_reports"}}


@pytest.mark.parametrize(
    ("module", "words", "settings", "missing", "line"),
    [
        (
            "admin_flask",
            (),
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
            "opentelemetry",
            "OTEL_EXPORTER_OTLP_ENDPOINT needs packages that are not here: install requirements/observe.lock",
        ),
        (
            "tasks",
            ("--pool", "track"),
            {"SENTRY_DSN": "https://k@127.0.0.1/1"},
            "sentry_sdk",
            "SENTRY_DSN needs packages that are not here: install requirements/observe.lock",
        ),
        (
            "tracker_quart",
            (),
            {"SENTRY_DSN": "https://hunter2@127.0.0.1"},
            "none",
            "SENTRY_DSN is no DSN, such as https://KEY@HOST/PROJECT.",
        ),
        (
            "tracker_quart",
            (),
            {"SENTRY_DSN": "hunter2"},
            "none",
            "SENTRY_DSN must start with one of http://, https://.",
        ),
        (
            "admin_flask",
            (),
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"},
            "none",
            "OTEL_EXPORTER_OTLP_ENDPOINT must start with one of http://, https://.",
        ),
    ],
)
def test_it_stops_a_program_with_one_line_that_says_what_to_do(
    environment: dict[str, str],
    module: str,
    words: tuple[str, ...],
    settings: dict[str, str],
    missing: str,
    line: str,
) -> None:
    code = (
        f"import runpy, sys; sys.modules[{missing!r}] = None; sys.argv = [{module!r}, *{words!r}];"
        f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, **settings},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
    assert "hunter2" not in done.stderr
