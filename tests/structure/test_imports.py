"""Who may import whom: the contracts in setup.cfg hold."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_it_keeps_the_import_contracts() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(linter)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_has_no_file_above_the_limit() -> None:
    """450 lines is where a file must have been split."""
    too_long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("core", "tracker_quart", "admin_flask", "tasks", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 450
    }
    assert too_long == {}


def test_it_names_redis_keys_in_one_file_only() -> None:
    """Every Redis name is made by core/contracts/keys.py."""
    offenders = [
        str(path.relative_to(ROOT))
        for folder in ("core", "tracker_quart", "admin_flask", "tasks")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "keys.py"
        and re.search(r"""\{rastro\}|["']rastro:[a-z*]""", path.read_text(encoding="utf-8"))
    ]
    assert offenders == []
