"""The data folder: one holder, private files, and a place for PostgreSQL that its user can reach."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.ops import data_folder, servers
from core.ops.commands import CommandFailed
from core.ops.data_folder import (
    hold,
    is_held,
    open_folder,
    postgres_home,
    read_ready,
    write_private,
)

ROOT = Path(__file__).resolve().parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts PostgreSQL as another user")


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that everybody may enter."""
    path = Path(tempfile.mkdtemp(prefix="rastro-folder-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_it_makes_the_folder_private(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / "new" / "var")
    mode = stat.S_IMODE(folder.path.stat().st_mode)
    assert mode == (0o711 if os.geteuid() == 0 else 0o700)  # root's server runs as somebody who must pass
    assert stat.S_IMODE(folder.logs.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.spool.stat().st_mode) == 0o700


def test_it_says_so_when_the_folder_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CommandFailed, match=r"can not be used .*--data DIR"):
        open_folder(tmp_path / "file" / "var")


def test_it_has_one_holder_and_names_it(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    code = (
        "import sys; from pathlib import Path; from core.ops.data_folder import DataFolder, hold\n"
        "with hold(DataFolder(Path(sys.argv[1]))):\n    print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    other.stdout.readline()
    assert is_held(folder)
    with pytest.raises(CommandFailed, match=rf"already running on .* \(process {other.pid}\)"), hold(folder):
        pass
    other.kill()
    other.communicate()
    assert not is_held(folder)
    with hold(folder):
        assert is_held(folder)


def test_it_believes_no_ready_file_of_an_up_that_was_killed(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    write_private(folder.ready, '{"admin_url": "http://localhost:1"}')
    assert read_ready(folder) is None
    with hold(folder):
        assert read_ready(folder) == {"admin_url": "http://localhost:1"}


def test_it_keeps_the_secret_key(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    first = data_folder.make_secret_key(folder).read_text()
    assert len(first.strip()) >= 32
    assert stat.S_IMODE(folder.secret_key.stat().st_mode) == 0o600
    assert data_folder.make_secret_key(folder).read_text() == first


def test_it_keeps_the_database_in_the_folder_when_its_user_can_reach_it(reachable: Path) -> None:
    folder = open_folder(reachable / "var")
    assert postgres_home(folder) == reachable / "var" / "postgres"
    assert not folder.where.exists()


@as_root
def test_it_keeps_the_database_elsewhere_when_a_parent_is_closed(
    tmp_path: Path, reachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_folder, "SHARED_ROOT", reachable / "shared")
    closed = tmp_path / "home"
    closed.mkdir(mode=0o700)
    folder = open_folder(closed / "var")
    place = postgres_home(folder)
    assert place.is_relative_to(reachable / "shared" / "data")
    assert servers.reachable_by(servers.SERVER_USER, place.parent)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert postgres_home(folder) == place
    shutil.rmtree(place)
    with pytest.raises(CommandFailed, match="which is not there"):
        postgres_home(folder)


@as_root
def test_it_refuses_data_that_another_user_made(reachable: Path) -> None:
    folder = open_folder(reachable / "var")
    cluster = postgres_home(folder) / "pgdata"
    cluster.mkdir(parents=True)
    other = next(entry for entry in pwd.getpwall() if entry.pw_uid not in (0, pwd.getpwnam("nobody").pw_uid))
    os.chown(cluster, other.pw_uid, other.pw_gid)
    with pytest.raises(CommandFailed, match=f"was made by the user {other.pw_name}"):
        postgres_home(folder)
