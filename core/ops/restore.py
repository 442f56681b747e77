"""`rastro restore FILE`: a backup becomes the installation, whole or not at all."""

import argparse
import base64
import json
import os
import secrets
import shutil
import subprocess
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import psycopg
from redis import Redis, RedisError

from core.config import Settings
from core.contracts import keys
from core.db.engine import make_engine
from core.db.migrate import migrate, revisions
from core.ops.backup import BOOKS, DATABASE, FORMAT, MANIFEST, QUEUES, SECRET, SPOOL
from core.ops.commands import CommandFailed
from core.ops.connect import servers
from core.ops.data_folder import DataFolder, is_held, write_private
from core.ops.external import look_at_postgres, plain_url, require_own_session
from core.ops.postgres_tools import call, tool
from core.services.publishing import republish_all, scan
from core.services.redis_client import make_redis, spread

_BEGIN = b"begin;\ndrop schema public cascade;\ncreate schema public;\n"
_OF_NEWER_SERVERS = (b"SET transaction_timeout",)  # written by newer tools, not understood by older servers


def run_restore(args: argparse.Namespace) -> int:
    """Put the file's contents in place of an empty installation, or of any with --force."""
    folder = DataFolder(args.data)
    if is_held(folder):
        raise CommandFailed(f"Rastro runs on {args.data}. Stop it first.")
    try:
        backup = tarfile.open(args.file)  # noqa: SIM115 (closed below)
    except (OSError, tarfile.TarError) as error:
        raise CommandFailed(f"{args.file} can not be read ({error}).") from error
    with backup:
        manifest = _manifest(backup, args.file)
        with servers(args.data, make=True) as settings:
            require_own_session(look_at_postgres(settings.database_url), "A restore")
            _require_empty(settings, force=args.force)
            _restore_database(backup, settings)
            migrate(settings.database_url)
            spooled = _restore_spool(backup, settings)
            queued = _restore_redis(backup, settings)
            _restore_secret(backup, folder)
    print(
        f"Restored the backup of {manifest['made_at']}: the database, {queued} entries of the queues and {spooled} "
        "spool files. Everybody signs in as before."
    )
    return 0


def _manifest(backup: tarfile.TarFile, path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = dict(json.loads(_read(backup, MANIFEST)))
    except (KeyError, TypeError, ValueError, tarfile.TarError) as error:
        raise CommandFailed(f"{path} is not a backup of Rastro, or it is cut off.") from error
    if manifest.get("format") != FORMAT or manifest.get("revision") not in (None, *revisions()):
        raise CommandFailed(
            f"{path} was made by a newer release. Restore it with that release or a newer one."
        )
    return manifest


def _require_empty(settings: Settings, *, force: bool) -> None:
    with psycopg.connect(plain_url(settings.database_url)) as connection:
        row = connection.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone()
    if row and row[0] and not force:
        raise CommandFailed(
            "There is an installation here already, and it would be replaced. "
            "Restore into an empty folder (--data DIR) or database, or add --force."
        )


def _restore_database(backup: tarfile.TarFile, settings: Settings) -> None:
    """Everything in one transaction: a file that can not be restored leaves what was there."""
    major = look_at_postgres(settings.database_url).major
    restore, psql = tool("pg_restore", server_major=major), tool("psql", server_major=major)
    with tempfile.TemporaryDirectory(prefix="rastro-restore-") as work:
        dump = Path(work, DATABASE)
        source = backup.extractfile(DATABASE)
        if source is None:
            raise CommandFailed("The backup has no database in it.")
        with source, dump.open("wb") as target:
            shutil.copyfileobj(source, target)
        errors = _pipe(restore, psql, dump, settings.database_url, Path(work, "errors"))
    if errors:
        raise CommandFailed(f"The database could not be restored; nothing was changed.\n{errors}")


def _pipe(restore: str, psql: str, dump: Path, database_url: str, errors: Path) -> str:
    """pg_restore's script into one psql transaction, less the lines that older servers refuse.

    The commit is sent only after pg_restore has read its file to the end.
    """
    with errors.open("w+b") as said:
        script = subprocess.Popen(
            [restore, "--no-owner", "--no-privileges", "--file=-", str(dump)],
            stdout=subprocess.PIPE,
            stderr=said,
        )
        client = call(
            [psql, "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1"], database_url, stdin=subprocess.PIPE
        )
        assert script.stdout is not None and client.stdin is not None
        try:
            client.stdin.write(_BEGIN)
            _copy(script.stdout, client.stdin)
            if script.wait() == 0:
                client.stdin.write(b"commit;\n")
            client.stdin.close()
        except BrokenPipeError:  # psql has refused something, and says what
            script.kill()
            with suppress(BrokenPipeError):
                client.stdin.close()
        script.stdout.close()
        client.stdin = None
        _, refused = client.communicate()
        script.wait()
        said.seek(0)
        if script.returncode == 0 and client.returncode == 0:
            return ""
        return (refused + said.read()).decode(errors="replace").strip()[:2000] or "pg_restore failed"


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    for _ in range(60):  # the settings stand at the top
        line = source.readline()
        if not line.startswith(_OF_NEWER_SERVERS):
            target.write(line)
    shutil.copyfileobj(source, target)


def _restore_redis(backup: tarfile.TarFile, settings: Settings) -> int:
    """Old names go, queued entries come back, links are published. Returns the number of entries."""
    client = make_redis(settings.redis_url, connect_timeout=5, timeout=30)
    engine = make_engine(settings.database_url)
    count = 0
    try:
        for pattern in keys.EVERYTHING:
            for name in scan(client, pattern):
                spread(client).delete(name)
        source = backup.extractfile(QUEUES)
        for line in source or ():
            count += _restore_record(client, json.loads(line))
        republish_all(engine, client)
    except RedisError as error:
        raise CommandFailed(
            f"The database is restored, but Redis failed ({error}). Restore again with --force."
        ) from error
    finally:
        client.close()
        engine.dispose()
    return count


def _restore_record(client: Redis, record: dict[str, Any]) -> int:
    if record["kind"] in BOOKS and record["hours"]:
        client.hset(BOOKS[record["kind"]], mapping=record["hours"])
    elif record["kind"] == "later":
        client.zadd(record["set"], {_bytes(record["message"]): record["due"]})
    elif record["kind"] == "entry":
        fields: Any = {name: _bytes(value) for name, value in record["fields"].items()}
        client.xadd(record["stream"], fields, id=record["id"])
        return 1
    return 0


def _restore_spool(backup: tarfile.TarFile, settings: Settings) -> int:
    count = 0
    of_postbacks = settings.postback_spool_dir
    for entry in backup.getmembers():
        if entry.isfile() and entry.name.startswith(SPOOL):
            old = Path(entry.name)
            folder = of_postbacks if old.parent.name == of_postbacks.name else settings.spool_dir
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            target = folder / f"{old.stem}-{secrets.token_hex(4)}{old.suffix}"
            handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(_read(backup, entry.name))
            count += 1
    return count


def _restore_secret(backup: tarfile.TarFile, folder: DataFolder) -> None:
    folder.admin_password.unlink(missing_ok=True)  # it belongs to an installation that is no more
    if SECRET in backup.getnames() and folder.path.is_dir():
        write_private(folder.secret_key, _read(backup, SECRET).decode())


def _read(backup: tarfile.TarFile, name: str) -> bytes:
    file = backup.extractfile(name)
    if file is None:
        raise KeyError(name)
    with file:
        return file.read()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)
