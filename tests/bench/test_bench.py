"""The benchmarks still run; what they measure here says nothing."""

import subprocess
import sys

import pytest

from tests.bench.stand import ROOT


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ingest", "Rastro, from stream to commit, 1 worker process"),
        ("redirect", "| start to ready "),
        ("postbacks", "| GET postbacks accepted on one tracker core "),
        ("sizes", "bytes of write-ahead log"),
    ],
)
def test_it_measures(name: str, says: str) -> None:
    command = [sys.executable, "-m", "tests.bench", name, "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert says in done.stdout
    assert f"Again: ./rastro bench {name} --quick" in done.stdout
