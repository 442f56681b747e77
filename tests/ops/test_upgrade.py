"""Data of another PostgreSQL: refused at the start, upgraded where it can be, else the steps are told."""

import os
import shutil
from pathlib import Path

import pytest

from core.ops import servers
from tests.ops.conftest import Up


def data_of(place: Path, major: str) -> Up:
    """A data folder that a release with this PostgreSQL has left."""
    up = Up(place / "var")
    cluster = up.data / "postgres" / "pgdata"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text(f"{major}\n")
    if os.geteuid() == 0:
        for path in (up.data / "postgres", cluster):
            shutil.chown(path, servers.SERVER_USER)
    return up


def test_up_refuses_it_and_names_the_command(place: Path) -> None:
    up = data_of(place, "9")
    done = up.run("up", "--admin-port", "0", "--tracker-port", "0")
    assert done.returncode == 1
    assert "belongs to PostgreSQL 9" in done.stderr
    assert "upgrade-data" in done.stderr


@pytest.mark.parametrize(
    ("major", "status", "said"),
    [
        (
            "9",
            1,
            ["no programs of 9 are here", "--old-binaries DIR", "rastro backup FILE", "rastro restore FILE"],
        ),
        ("99", 1, ["newer than this release's", "Start the newer release"]),
        (servers.embedded_major(), 0, ["Nothing to do"]),
    ],
)
def test_it_says_what_can_be_done(place: Path, major: str, status: int, said: list[str]) -> None:
    up = data_of(place, major)
    done = up.run("upgrade-data")
    assert done.returncode == status
    for words in said:
        assert words in done.stdout + done.stderr
    assert (up.data / "postgres" / "pgdata" / "PG_VERSION").read_text() == f"{major}\n"


def test_it_refuses_old_programs_that_are_none(place: Path) -> None:
    done = data_of(place, "9").run("upgrade-data", "--old-binaries", str(place))
    assert done.returncode == 1
    assert f"{place} does not hold the programs" in done.stderr


def test_it_needs_data(place: Path) -> None:
    done = Up(place / "var").run("upgrade-data")
    assert done.returncode == 1
    assert "no embedded database" in done.stderr
