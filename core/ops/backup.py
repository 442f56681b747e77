"""`rastro backup FILE`: everything in one file, while it runs.

What is copied flows from spool to queue to PostgreSQL, and is copied in that order: a click that moves on meanwhile is
in the file twice rather than not at all, and is stored once when the file is restored, by its id.
"""

import argparse
import base64
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from redis import Redis, RedisError

from core.config import Settings
from core.contracts import keys
from core.db.engine import make_engine
from core.db.migrate import current_revision
from core.ops.commands import CommandFailed
from core.ops.connect import servers
from core.ops.external import look_at_postgres, plain_url, require_own_session
from core.ops.postgres_tools import call, tool
from core.services.redis_client import make_redis

FORMAT = 1
MANIFEST, SECRET, QUEUES, DATABASE, SPOOL = (
    "rastro.json",
    "secret-key",
    "queues.jsonl",
    "database.dump",
    "spool/",
)

BOOKS = {"accepted": keys.ACCEPTED, "answered": keys.ANSWERED, "received": keys.RECEIVED}
"""Kind of a record of the file -> the hash that it holds."""

_PAGE = 1000


def run_backup(args: argparse.Namespace) -> int:
    """Write the file; it appears complete or not at all, readable by its owner alone."""
    target: Path = args.file.absolute()
    if not target.parent.is_dir():
        raise CommandFailed(f"There is no folder {target.parent}.")
    if target.is_dir():
        raise CommandFailed(f"{target} is a folder. Name a file in it.")
    with servers(args.data) as settings:
        secret = (
            " and the secret key"
            if settings.secret_key
            else ", and no secret key, since SECRET_KEY is not set"
        )
        try:
            counts = write_backup(settings, target)
        except OSError as error:
            raise CommandFailed(
                f"{target} could not be written ({error}). Nothing was kept of it."
            ) from error
    print(
        f"Saved to {target} ({target.stat().st_size / 1e6:,.1f} MB): the database, {counts['queued']} entries of the "
        f"queues, {counts['spooled']} spool files{secret}.\n"
        "It holds password hashes and visitors' addresses: keep it where only you can read it.\n"
        "./rastro restore puts it back."
    )
    return 0


def write_backup(settings: Settings, target: Path) -> dict[str, int]:
    """Write one file with everything; returns how many queue entries and spool files it holds."""
    facts = look_at_postgres(settings.database_url)
    require_own_session(facts, "A backup")
    dump = tool("pg_dump", server_major=facts.major)
    counts = {"queued": 0, "spooled": 0}
    with tempfile.TemporaryDirectory(prefix=".rastro-backup-", dir=target.parent) as work:
        draft, queues, database = Path(work, "draft"), Path(work, QUEUES), Path(work, DATABASE)
        with tarfile.open(draft, "w") as file:
            counts["spooled"] = _add_spool(file, settings.spool_dir)
            counts["queued"] = _save_queues(settings, queues)
            file.add(queues, QUEUES)
            _dump(dump, settings.database_url, database)
            file.add(database, DATABASE)
            if settings.secret_key:
                _add_text(file, SECRET, settings.secret_key)
            _add_text(file, MANIFEST, json.dumps(_manifest(settings, facts.version, counts), indent=1))
        draft.chmod(0o600)
        draft.replace(target)
    return counts


def _manifest(settings: Settings, postgres: str, counts: dict[str, int]) -> dict[str, Any]:
    engine = make_engine(settings.database_url)
    try:
        with engine.connect() as connection:
            revision = current_revision(connection)
    finally:
        engine.dispose()
    return {
        "format": FORMAT,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "postgres": postgres,
        "revision": revision,
        **counts,
    }


def _add_spool(file: tarfile.TarFile, folder: Path) -> int:
    """Copies first: a spool file may grow while it is read. A torn last record is cut when it is replayed. Counts of
    answered clicks, which lie beside them, come with the queues."""
    count = 0
    for path in sorted(folder.rglob("*.spool")) if folder.is_dir() else []:
        try:
            data = path.read_bytes()
        except OSError:  # replayed and gone in the meantime: what it held is in the queue, which comes next
            continue
        if data and path.is_file():
            _add_bytes(file, SPOOL + path.relative_to(folder).as_posix(), data)
            count += 1
    return count


def _save_queues(settings: Settings, target: Path) -> int:
    client = make_redis(settings.redis_url, connect_timeout=5, timeout=30)
    count = 0
    try:
        with target.open("w", encoding="ascii") as file:
            for record in _queue_records(client):
                file.write(json.dumps(record) + "\n")
                count += record["kind"] == "entry"
    except RedisError as error:
        raise CommandFailed(f"The queues could not be read ({error}). Nothing was written.") from error
    finally:
        client.close()
    return count


def _queue_records(client: Redis) -> Iterator[dict[str, Any]]:
    """Counters of the books first, then entries; what arrives after the first moment belongs to the next backup."""
    for kind, name in BOOKS.items():
        counts: Any = client.hgetall(name)
        yield {"kind": kind, "hours": {field.decode(): int(value) for field, value in counts.items()}}
    for queue in keys.QUEUES:
        for stream in (keys.stream(queue), keys.dead(queue)):
            newest: Any = client.xrevrange(stream, count=1)
            start = "-"
            while newest:
                page: Any = client.xrange(stream, min=start, max=newest[0][0], count=_PAGE)
                for entry, fields in page:
                    yield {
                        "kind": "entry",
                        "stream": stream,
                        "id": entry.decode(),
                        "fields": {name.decode(): _text(value) for name, value in fields.items()},
                    }
                if len(page) < _PAGE:
                    break
                start = f"({page[-1][0].decode()}"
        waiting: Any = client.zrange(keys.later(queue), 0, -1, withscores=True)
        for message, due in waiting:
            yield {"kind": "later", "set": keys.later(queue), "message": _text(message), "due": due}


def _dump(dump: str, database_url: str, target: Path) -> None:
    process = call(
        [dump, "--format=custom", "--no-owner", "--no-privileges", f"--file={target}"],
        plain_url(database_url),
    )
    _, errors = process.communicate()
    if process.returncode != 0:
        reason = errors.decode(errors="replace").strip()
        raise CommandFailed(f"pg_dump could not read the database. Nothing was written.\n{reason}")


def _add_text(file: tarfile.TarFile, name: str, text: str) -> None:
    _add_bytes(file, name, f"{text}\n".encode())


def _add_bytes(file: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o600
    file.addfile(entry, io.BytesIO(data))


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
