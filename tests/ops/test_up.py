"""`rastro up` as an operator meets it: the ready line, what runs, what happens when something dies."""

import os
import re
import signal
import socket
import stat
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from tests.ops.conftest import Up, is_alive

KEYS = [
    "admin_url",
    "tracker_url",
    "admin_email",
    "database_url",
    "redis_url",
    "metrics_urls",
    "spool_dir",
    "tz_default",
    "processes",
]


def get(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.status, answer.read().decode()


def test_it_ends_its_start_with_the_ready_line_and_how_to_sign_in(up: Up) -> None:
    lines = up.said.splitlines()
    at = lines.index("Rastro is ready")
    assert up.ready["admin_url"] in lines[at + 1]
    assert up.ready["tracker_url"] in lines[at + 2]
    password = (up.data / "admin-password").read_text().strip()
    assert f"{up.ready['admin_email']} with the password {password}" in lines[at + 3]


def test_it_writes_down_what_others_need(up: Up) -> None:
    ready = up.ready
    assert list(ready) == KEYS
    assert re.fullmatch(r"http://localhost:\d+", ready["admin_url"])
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", ready["tracker_url"])
    names = [process["name"] for process in ready["processes"]]
    assert names == ["postgres", "valkey", "tracker-1", "tracker-2", "manager", "worker"]
    with psycopg.connect(ready["database_url"]) as connection:
        assert connection.execute("select count(*) from users where role = 'admin'").fetchone() == (1,)
    with redis.Redis.from_url(ready["redis_url"]) as client:
        assert client.ping()
    assert Path(ready["spool_dir"]).is_dir()


def test_it_keeps_secrets_to_itself(up: Up) -> None:
    for name in ("ready.json", "admin-password", "secret-key"):
        assert stat.S_IMODE((up.data / name).stat().st_mode) == 0o600
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert (up.data / "postgres" / "password").read_text() not in listed


@pytest.mark.parametrize("which", ["admin_url", "tracker_url"])
def test_it_answers_on_both_addresses(up: Up, which: str) -> None:
    assert get(f"{up.ready[which]}/livez")[0] == 200
    assert get(f"{up.ready[which]}/readyz")[0] == 200


def test_it_shows_the_metrics_of_each_process(up: Up) -> None:
    assert len(up.ready["metrics_urls"]) == 3
    for url in up.ready["metrics_urls"]:
        assert "rastro_" in get(url)[1]


def test_it_refuses_a_second_up_on_the_same_data_and_names_the_first(up: Up) -> None:
    assert up.process is not None
    second = up.run("up", "--admin-port", "0", "--tracker-port", "0")
    assert second.returncode == 1
    assert f"already running on {up.data} (process {up.process.pid})" in second.stderr


@pytest.mark.parametrize(
    ("option", "which"), [("--admin-port", "admin_url"), ("--tracker-port", "tracker_url")]
)
def test_it_refuses_a_taken_port_in_one_line(up: Up, place: Path, option: str, which: str) -> None:
    port = up.ready[which].rpartition(":")[2]
    other = Up(place / "var")
    other.begin(option, port)
    assert other.stop(signal.SIGCONT) == 3
    assert other.said.count("\n") == 1
    assert f"Port {port} on 127.0.0.1 is taken" in other.said
    assert option in other.said


@pytest.mark.parametrize("name", ["tracker-1", "worker", "manager", "valkey", "postgres"])
def test_it_brings_back_what_was_killed(up: Up, name: str) -> None:
    before = up.pids[name]
    os.kill(before, signal.SIGKILL)
    up.wait_until(lambda: up.pids.get(name, before) != before)
    assert f"{name} (process {before}) was ended by SIGKILL" in up.said
    up.wait_until(lambda: all(is_alive(pid) for pid in up.pids.values()) and answers(up))


def answers(up: Up) -> bool:
    try:
        return all(get(f"{up.ready[which]}/readyz")[0] == 200 for which in ("admin_url", "tracker_url"))
    except OSError:
        return False


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TZ_DEFAULT", "Mars/Olympus", "TZ_DEFAULT must be a time zone"),
        ("TRACKER_PROCESSES", "none", "TRACKER_PROCESSES must be a whole number"),
        ("DATABASE_URL", "mysql://x/y", "DATABASE_URL must start with postgresql://"),
    ],
)
def test_it_refuses_a_bad_setting_in_one_line(place: Path, name: str, value: str, said: str) -> None:
    up = Up(place / "var", **{name: value})
    up.begin()
    assert up.stop(signal.SIGCONT) == 2
    assert said in up.said.splitlines()[-1]
    assert "Traceback" not in up.said


def test_it_says_when_a_server_that_was_set_does_not_answer(place: Path) -> None:
    up = Up(place / "var", REDIS_URL="redis://127.0.0.1:9/0")
    up.begin()
    assert up.stop(signal.SIGCONT) == 1
    assert "Redis does not answer" in up.said
    assert "Check REDIS_URL" in up.said


@pytest.fixture
def own(place: Path) -> Iterator[Up]:
    """An `up` that one test may stop and kill."""
    up = Up(place / "var")
    yield up
    if up.process is not None:
        up.stop(signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_and_starts_again_on_the_same_data(own: Up, number: int) -> None:
    own.start()
    ports = [own.ready[which].rpartition(":")[2] for which in ("admin_url", "tracker_url")]
    key = own.run("key", "create", "--name", "kept", "--role", "viewer").stdout
    assert key.startswith("rst_")
    family = own.family()
    assert own.stop(number) == 0
    assert [pid for pid in family if is_alive(pid)] == []
    assert not own.ready_file.exists()
    own.start("--admin-port", ports[0], "--tracker-port", ports[1])
    with psycopg.connect(own.ready["database_url"]) as connection:
        assert connection.execute("select name from api_keys").fetchall() == [("kept",)]
        assert connection.execute("select count(*) from users").fetchone() == (1,)
    assert "Making a database" not in own.said
    assert "with the password" not in own.said
    assert own.stop() == 0


def test_it_leaves_nothing_running_when_it_is_killed(own: Up) -> None:
    own.start()
    family = own.family()
    assert len(family) > 10  # PostgreSQL's and gunicorn's own children are among them
    assert own.process is not None
    own.process.kill()
    own.process.wait()
    left = family
    for _ in range(600):
        left = {pid for pid in left if is_alive(pid)}
        if not left:
            break
    assert not left
    own.start()  # and what was left behind keeps nobody from starting
    assert own.stop() == 0


def test_it_lets_the_default_domain_follow_its_port(own: Up) -> None:
    def default_host() -> object:
        with psycopg.connect(own.ready["database_url"]) as connection:
            row = connection.execute("select host from domains where is_default").fetchone()
        return row and f"http://{row[0]}" == own.ready["tracker_url"]

    own.start()
    assert default_host()
    with socket.socket() as other:  # keeps the kernel from giving the same port again
        port = int(own.ready["tracker_url"].rpartition(":")[2])
        assert own.stop() == 0
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        own.start()
        assert default_host()
        assert own.stop() == 0


def test_it_stops_at_once_when_it_is_told_twice(own: Up) -> None:
    own.start()
    family = own.family()
    assert own.process is not None
    own.process.send_signal(signal.SIGINT)
    own.wait_until(lambda: "Stopping" in own.said)
    assert own.stop(signal.SIGINT) == 0
    assert [pid for pid in family if is_alive(pid)] == []


def test_it_fills_itself_with_examples_once(own: Up) -> None:
    def links() -> object:
        with psycopg.connect(own.ready["database_url"]) as connection:
            return connection.execute("select count(*) from links").fetchone()

    own.start("--demo")
    made = links()
    assert made != (0,)
    assert own.stop() == 0
    own.start("--demo")
    assert links() == made
    assert own.stop() == 0


def test_it_uses_the_servers_that_are_set_and_starts_none_for_them(
    place: Path, environment: dict[str, str], valkey: "redis.Redis"
) -> None:
    names = ("DATABASE_URL", "REDIS_URL")
    up = Up(place / "var", **{name: environment[name] for name in names})
    try:
        up.start()
        assert not {"postgres", "valkey"} & up.pids.keys()
        assert up.ready["database_url"] == environment["DATABASE_URL"]
        assert not (place / "var" / "postgres").exists()
        assert up.stop() == 0
    finally:
        up.stop(signal.SIGKILL)
