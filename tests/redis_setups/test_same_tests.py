"""The suite's own tests, over a cluster: a few here, and all that use the suite's server by `--redis cluster`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHORT = (
    "tests/tasks/test_streams.py",
    "tests/tracker_quart/test_caps.py",
    "tests/core/services/queues/test_letters.py",
    "tests/core/services/test_books.py",
    "tests/core/services/test_link_caps.py",
)


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_it_passes_the_same_tests_over_a_cluster() -> None:
    words = ["-m", "pytest", "--redis", "cluster", "-n", "0", "-q", "-p", "no:cacheprovider", *SHORT]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    print(done.stdout[-8000:], done.stderr[-2000:])
    assert done.returncode == 0
