"""How a command finds its servers: settings, a running `up`, or the embedded ones started for as long as it takes."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from core.config import Settings
from core.ops.commands import CommandFailed
from core.ops.data_folder import DataFolder, hold, make_secret_key, open_folder, postgres_home, read_ready
from core.ops.programs import server_service
from core.ops.servers import Program, ServerError, postgres_program, valkey_program
from core.ops.supervisor import StopSignals, Supervisor


@contextmanager
def servers(data: Path, *, needs_redis: bool = True, make: bool = False) -> Iterator[Settings]:
    """Settings whose servers answer, for the time of the block.

    Each of DATABASE_URL and REDIS_URL wins where it is set; a running `up` on `data` gives the rest. When none runs,
    the embedded servers of `data` are started for the block (`make`: an empty folder is filled). Raises CommandFailed.
    """
    given = Settings.from_env(os.environ)
    if given.database_url and (given.redis_url or not needs_redis):
        yield given
        return
    folder = DataFolder(data)
    ready = read_ready(folder)
    if ready is not None:
        yield Settings.from_env(_environment(folder, ready))
        return
    if not make and not folder.has_database:
        raise CommandFailed(
            f"No Rastro runs on {data}, and DATABASE_URL and REDIS_URL are not set. "
            "Start ./rastro up first, or say where it keeps its data with --data DIR."
        )
    with _own_servers(open_folder(data), given) as settings:
        yield settings


def known_environment(data: Path) -> dict[str, str]:
    """Our environment, completed by what a running `up` on `data` says; nothing is started or asked."""
    folder = DataFolder(data)
    return _environment(folder, read_ready(folder) or {})


@contextmanager
def _own_servers(folder: DataFolder, given: Settings) -> Iterator[Settings]:
    with hold(folder):
        make_secret_key(folder)
        supervisor = Supervisor(logs=folder.logs, say=print, signals=StopSignals())
        programs = _programs(folder, given)
        try:
            for program in programs:
                supervisor.start(server_service(program))
            supervisor.wait_ready([program.name for program in programs], limit=60)
            urls = {program.name: program.url for program in programs}
            found = {"database_url": urls.get("postgres"), "redis_url": urls.get("valkey")}
            yield Settings.from_env(_environment(folder, {k: v for k, v in found.items() if v}))
        finally:
            supervisor.stop_all()


def _programs(folder: DataFolder, given: Settings) -> list[Program]:
    programs = []
    try:
        if not given.database_url:
            programs.append(postgres_program(postgres_home(folder)))
        if not given.redis_url:
            programs.append(valkey_program(folder.valkey))
    except ServerError as error:
        raise CommandFailed(str(error)) from error
    return programs


def _environment(folder: DataFolder, found: Mapping[str, object]) -> dict[str, str]:
    """What is set in our environment wins over what was found."""
    env = {name: value for name, value in os.environ.items() if value.strip()}
    for name in ("database_url", "redis_url", "admin_url", "tracker_url", "spool_dir", "tz_default"):
        setting = name.upper()
        if name in found and f"{setting}_FILE" not in env:
            env.setdefault(setting, str(found[name]))
    env.setdefault("SPOOL_DIR", str(folder.spool))
    if "SECRET_KEY" not in env and folder.secret_key.exists():
        env.setdefault("SECRET_KEY_FILE", str(folder.secret_key))
    return env
