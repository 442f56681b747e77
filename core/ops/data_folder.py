"""The data folder of `rastro up`: who holds it, what lies in it, and the small private files."""

import fcntl
import json
import os
import pwd
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.ops.commands import CommandFailed
from core.ops.servers import SERVER_USER, SHARED_ROOT, reachable_by


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Paths inside one data folder. Nothing is made by asking for a path."""

    path: Path

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def spool(self) -> Path:
        return self.path / "spool"

    @property
    def valkey(self) -> Path:
        return self.path / "valkey"

    @property
    def secret_key(self) -> Path:
        return self.path / "secret-key"

    @property
    def admin_password(self) -> Path:
        return self.path / "admin-password"

    @property
    def ready(self) -> Path:
        return self.path / "ready.json"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def where(self) -> Path:
        return self.path / "where"

    @property
    def has_database(self) -> bool:
        """True once the embedded PostgreSQL has data here (or where `where` says)."""
        return (self.postgres_place() / "pgdata" / "PG_VERSION").exists()

    def postgres_place(self) -> Path:
        """Where PostgreSQL's data is or would be, as far as it is known without making anything."""
        if self.where.exists():
            return Path(self.where.read_text(encoding="utf-8").strip())
        return self.path / "postgres"


def open_folder(path: Path) -> DataFolder:
    """Make the folder where it is missing and return it. Raises CommandFailed when it can not be used."""
    folder = DataFolder(path)
    try:
        if not path.exists():
            path.mkdir(parents=True)
            # As root the server's own user has to pass through; what lies inside is private by itself.
            path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        for place in (folder.logs, folder.spool):
            place.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise CommandFailed(
            f"The data folder {path} can not be used ({error.strerror}). Choose another with --data DIR."
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise CommandFailed(f"The data folder {path} can not be written. Choose another with --data DIR.")
    return folder


@contextmanager
def hold(folder: DataFolder) -> Iterator[None]:
    """Keep every other `up` away from the folder. Raises CommandFailed that names the process which has it."""
    handle = os.open(folder.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandFailed(
                f"Rastro is already running on {folder.path} (process {_holder(folder)}). "
                "Stop it first, or choose another folder with --data DIR."
            ) from None
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        yield
    finally:
        os.close(handle)


def is_held(folder: DataFolder) -> bool:
    """True while an `up` (or a restore) has the folder."""
    try:
        handle = os.open(folder.lock, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(handle)


def postgres_home(folder: DataFolder) -> Path:
    """Where PostgreSQL's data goes: in the folder, or where its user can reach it, noted in `where`.

    As root PostgreSQL runs as another user. No parent folder is ever opened up for it; when one is closed, the data
    lies under /var/lib/rastro instead.
    """
    place = folder.postgres_place()
    if folder.where.exists():
        if not place.is_dir():
            raise CommandFailed(
                f"{folder.where} says that the database is in {place}, which is not there. Put it back, or "
                f"remove {folder.where} to begin with an empty database."
            )
        return place
    if os.geteuid() != 0 or reachable_by(SERVER_USER, folder.path):
        _check_owner(place)
        return place
    if (place / "pgdata").exists():
        raise CommandFailed(
            f"{place} is closed to the user {SERVER_USER}, who runs PostgreSQL for root. "
            "A folder above it lost its right to be entered; give it back (chmod o+x)."
        )
    place = SHARED_ROOT / "data" / secrets.token_hex(8)
    for step, mode in ((SHARED_ROOT, 0o755), (SHARED_ROOT / "data", 0o755), (place, 0o700)):
        if not step.exists():
            step.mkdir(parents=True)
            step.chmod(mode)  # whatever our umask is
    write_private(folder.where, f"{place}\n")
    return place


def make_secret_key(folder: DataFolder) -> Path:
    """The file with the SECRET_KEY of this installation, made at the first start and kept."""
    if not folder.secret_key.exists():
        write_private(folder.secret_key, secrets.token_urlsafe(48) + "\n")
    return folder.secret_key


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read; it appears complete or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(handle)
    draft.replace(path)


def read_ready(folder: DataFolder) -> dict[str, Any] | None:
    """What a running `up` wrote down; None when none runs here, whatever a killed one has left."""
    if not is_held(folder):
        return None
    try:
        ready = json.loads(folder.ready.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return ready if isinstance(ready, dict) else None


def _holder(folder: DataFolder) -> str:
    try:
        return folder.lock.read_text(encoding="ascii").strip() or "unknown"
    except OSError:
        return "unknown"


def _check_owner(place: Path) -> None:
    cluster = place / "pgdata"
    if not cluster.exists():
        return
    owner = cluster.stat().st_uid
    wanted = pwd.getpwnam(SERVER_USER).pw_uid if os.geteuid() == 0 else os.geteuid()
    if owner == wanted:
        return
    root = pwd.getpwnam(SERVER_USER).pw_uid == owner
    try:
        name = "root" if root else pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"with the id {owner}"
    raise CommandFailed(
        f"The data in {place.parent} was made by the user {name}. "
        "Start Rastro as that user, or choose another folder with --data DIR."
    )
