"""The embedded servers: prepared once, kept, refused when they belong to another release."""

import subprocess
import tempfile
from pathlib import Path

import pytest

from core.ops import servers


@pytest.fixture
def folder() -> Path:
    """A folder that the server user can reach, whoever runs the tests."""
    return Path(tempfile.mkdtemp(prefix="rastro-servers-", dir="/tmp"))


def test_it_refuses_data_of_another_major_and_says_what_to_do(folder: Path) -> None:
    cluster = folder / "pgdata"
    cluster.mkdir()
    (cluster / "PG_VERSION").write_text("15\n")
    with pytest.raises(servers.ServerError, match=r"PostgreSQL 15.*upgrade-data"):
        servers.check_major(cluster)


def test_it_starts_valkey_from_a_folder_whose_path_is_too_long_for_a_socket(folder: Path) -> None:
    deep = folder / ("d" * 60) / ("e" * 60)
    program = servers.valkey_program(deep)
    assert len(program.url) < 100
    assert servers.valkey_program(deep).url == program.url  # the same at the next start
    with (folder / "log").open("ab") as log:
        child = servers.start_child(program, log=log.fileno())
    try:
        servers.wait_until_up(program, child, limit=20)
    finally:
        child.kill()
        child.wait()


def test_it_says_when_a_server_ends_while_starting(folder: Path) -> None:
    program = servers.Program(name="broken", argv=("false",), cwd=folder, url="", is_up=lambda: False)
    child = subprocess.Popen(program.argv)
    with pytest.raises(servers.ServerError, match="ended with status 1"):
        servers.wait_until_up(program, child, limit=20)
