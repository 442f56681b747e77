"""What `up` tells its programs."""

from pathlib import Path

import pytest

from core.config import SettingError, Settings
from core.ops.child_env import addresses, common_environment
from core.ops.data_folder import DataFolder
from core.ops.programs import Sockets, process_table

FOLDER = DataFolder(Path("/srv/rastro"))


@pytest.mark.parametrize(
    ("environ", "host", "admin", "tracker", "hosts"),
    [
        (
            {},
            "127.0.0.1",
            "http://localhost:8000",
            "http://127.0.0.1:8080",
            "127.0.0.1:8080 localhost:8080 [::1]:8080",
        ),
        (
            {},
            "0.0.0.0",
            "http://localhost:8000",
            "http://127.0.0.1:8080",
            "127.0.0.1:8080 localhost:8080 [::1]:8080",
        ),
        (
            {},
            "192.0.2.7",
            "http://192.0.2.7:8000",
            "http://192.0.2.7:8080",
            "127.0.0.1:8080 localhost:8080 [::1]:8080 192.0.2.7:8080",
        ),
        (
            {
                "ADMIN_URL": "https://rastro.example/",
                "TRACKER_URL": "https://go.example",
                "DEFAULT_HOSTS": "go.test",
            },
            "127.0.0.1",
            "https://rastro.example",
            "https://go.example",
            "go.test 127.0.0.1:8080 localhost:8080 [::1]:8080",
        ),
    ],
)
def test_it_knows_where_people_find_it(
    environ: dict[str, str], host: str, admin: str, tracker: str, hosts: str
) -> None:
    place = addresses(environ, host=host, admin_port=8000, tracker_port=8080)
    assert (place.admin_url, place.tracker_url) == (admin, tracker)
    env = common_environment(environ, FOLDER, place, database_url=None, redis_url=None)
    assert (env["ADMIN_URL"], env["TRACKER_URL"], env["DEFAULT_HOSTS"]) == (admin, tracker, hosts)


def environment(environ: dict[str, str]) -> dict[str, str]:
    place = addresses(environ, host="127.0.0.1", admin_port=8000, tracker_port=8080)
    return common_environment(
        environ, FOLDER, place, database_url="postgresql://u@/d", redis_url="unix:///srv/valkey.sock"
    )


def test_it_fills_in_what_is_not_set() -> None:
    env = environment({})
    assert env["DATABASE_URL"] == "postgresql://u@/d"
    assert env["REDIS_URL"] == "unix:///srv/valkey.sock"
    assert env["SECRET_KEY_FILE"] == "/srv/rastro/secret-key"
    assert env["SPOOL_DIR"] == "/srv/rastro/spool"


def test_it_leaves_what_is_set() -> None:
    env = environment(
        {"SECRET_KEY": "k" * 40, "SPOOL_DIR": "/spool", "LOG_FORMAT": "json", "TZ_DEFAULT": "Asia/Tokyo"}
    )
    assert "SECRET_KEY_FILE" not in env
    assert (env["SPOOL_DIR"], env["LOG_FORMAT"], env["TZ_DEFAULT"]) == ("/spool", "json", "Asia/Tokyo")


@pytest.mark.parametrize(("text", "count"), [("1", 1), ("3", 3)])
def test_it_runs_as_many_trackers_as_asked_on_one_socket(text: str, count: int) -> None:
    env = environment({"TRACKER_PROCESSES": text, "SECRET_KEY": "k" * 40})
    place = addresses(env, host="127.0.0.1", admin_port=8000, tracker_port=8080)
    table = process_table(env, Settings.from_env(env), place, Sockets(links=7, website=8))
    names = [service.name for service in table.services]
    assert names == [*(f"tracker-{number}" for number in range(1, count + 1)), "manager", "worker"]
    trackers = table.services[:count]
    assert {service.env["TRACKER_FD"] for service in trackers} == {"7"}
    assert len({service.env["METRICS_PORT"] for service in trackers}) == count
    assert len(set(table.metrics_urls)) == count + 1


def test_it_runs_as_many_workers_as_asked() -> None:
    env = environment({"TRACKER_PROCESSES": "1", "WORKER_PROCESSES": "2", "SECRET_KEY": "k" * 40})
    place = addresses(env, host="127.0.0.1", admin_port=8000, tracker_port=8080)
    table = process_table(env, Settings.from_env(env), place, Sockets(links=7, website=8))
    workers = [service for service in table.services if service.name.startswith("worker")]
    assert [service.name for service in workers] == ["worker-1", "worker-2"]
    assert {service.env["WORKER_PROCESSES"] for service in workers} == {"1"}
    assert len(set(table.metrics_urls)) == 3


@pytest.mark.parametrize("text", ["0", "-1", "two", "65"])
def test_it_refuses_a_number_of_trackers_that_can_not_be(text: str) -> None:
    env = environment({"TRACKER_PROCESSES": text, "SECRET_KEY": "k" * 40})
    place = addresses(env, host="127.0.0.1", admin_port=8000, tracker_port=8080)
    with pytest.raises(SettingError, match="TRACKER_PROCESSES must be a whole number between 1 and 64"):
        process_table(env, Settings.from_env(env), place, Sockets(links=7, website=8))
