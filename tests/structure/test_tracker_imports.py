"""The tracker is light: it never loads the database, the queue or the manager."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import importlib, pkgutil, sys
import tracker_quart
for module in pkgutil.iter_modules(tracker_quart.__path__, "tracker_quart."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
import tracker_quart.__main__
print("\\n".join(sys.modules))
"""


def test_it_loads_no_database_and_no_queue() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "tracker_quart.server" in loaded
    forbidden = ("sqlalchemy", "psycopg", "huey", "flask_login", "flask_sqlalchemy", "alembic", "argon2")
    forbidden += ("ua_parser", "maxminddb")  # only for links whose rules ask for them
    assert sorted(name for name in loaded if name.partition(".")[0] in forbidden) == []
    ours = {name for name in loaded if name.partition(".")[0] in ("core", "admin_flask", "tasks")}
    allowed = ("core.contracts", "core.domain", "core.config", "core.observe", "core.histogram")
    allowed += ("core.error_reports", "core.redis_url", "core.release")
    assert sorted(name for name in ours if name != "core" and not name.startswith(allowed)) == []
