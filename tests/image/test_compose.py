"""`compose.yaml`: every program, no more rights than it needs, no secret written down."""

import re
from typing import Any

import pytest

from core.config import Settings
from core.ops.commands import GROUPS, PROGRAMS, build_parser
from tasks.queues import POOLS
from tests.image.files import compose, services
from tests.structure.test_docs import settings_read

SERVICES = services()
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
PROGRAM_SERVICES = {name: service for name, service in OURS.items() if service["command"][0] in PROGRAMS}
ONCE = OURS.keys() - PROGRAM_SERVICES.keys()
ALONE = next(names for title, names in GROUPS if title.startswith("One program each"))
SECRETS = {
    *("DATABASE_URL", "DATABASE_REPLICA_URL", "REDIS_URL", "SECRET_KEY", "SMTP_URL"),
    *("SENTRY_DSN", "OTEL_EXPORTER_OTLP_HEADERS"),
}


def test_it_has_every_program() -> None:
    assert {service["command"][0] for service in OURS.values()} == {*ALONE, "migrate"}


def test_it_has_a_worker_for_each_pool() -> None:
    workers = [service["command"] for service in OURS.values() if service["command"][0] == "worker"]
    assert sorted(workers) == sorted(["worker", "--pool", pool] for pool in POOLS)


@pytest.mark.parametrize("name", sorted(ONCE))
def test_its_one_off_commands_are_understood(name: str) -> None:
    assert build_parser().parse_args(OURS[name]["command"]).run


@pytest.mark.parametrize("name", sorted(OURS))
def test_it_sets_only_what_is_a_setting(name: str) -> None:
    known = settings_read()
    files = {f"{setting}_FILE" for setting in (*SECRETS, "ROBOT_NETWORKS")}
    assert set(OURS[name].get("environment", {})) <= known | files


@pytest.mark.parametrize("name", sorted(PROGRAM_SERVICES))
def test_its_values_can_be_used(name: str) -> None:
    told = {key: _default(value) for key, value in OURS[name]["environment"].items() if "_FILE" not in key}
    assert Settings.from_env(told).host


def test_it_asks_for_no_variable_that_has_no_default() -> None:
    """`docker compose up` is all; what has no default of its own is empty."""
    variables = re.findall(r"(?<!\$)\$\{?(\w+)(:-)?", repr(compose()))
    assert variables and [name for name, default in variables if not default] == []


def test_it_writes_no_secret_down() -> None:
    for name, service in SERVICES.items():
        for setting, value in service.get("environment", {}).items():
            if setting in SECRETS or re.search("PASSWORD|TOKEN|SECRET", setting.removesuffix("_FILE")):
                file = setting.endswith("_FILE") and value.startswith("/secrets/")
                assert file or value == f"${{{setting}:-}}", (name, setting)


def test_its_secrets_are_seen_by_those_alone_that_need_them() -> None:
    for name, service in SERVICES.items():
        mounts = _mounts(service)
        if name == "init":
            continue
        asked = {
            value.split("/")[2]
            for value in [*service.get("environment", {}).values(), *service.get("command", [])]
            if value.startswith("/secrets/")
        }
        seen = {place.split("/")[2] for place in mounts if place.startswith("/secrets/")}
        assert seen == asked, name
        assert all(mode == "ro" for place, mode in mounts.items() if place.startswith("/secrets/")), name


def test_its_tracker_reaches_no_database() -> None:
    assert "postgres" not in SERVICES["tracker"]["networks"]
    assert not any("postgres" in place for place in _mounts(SERVICES["tracker"]))


def test_its_tracker_keeps_the_spool() -> None:
    assert "/var/lib/rastro/spool" in _mounts(SERVICES["tracker"])
    assert "spool" in compose()["volumes"]


@pytest.mark.parametrize("name", sorted(OURS))
def test_its_containers_of_ours_have_no_rights(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in service  # the image's own
    assert "privileged" not in service


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_its_containers_have_limits(name: str) -> None:
    assert "mem_limit" in SERVICES[name]
    assert SERVICES[name]["restart"] == ("no" if name in ONCE else "unless-stopped")


def test_it_asks_every_lasting_container_for_its_health() -> None:
    for name, service in SERVICES.items():
        check = service.get("healthcheck", {})
        if name in ONCE:
            assert check == {"disable": True}
        elif name in OURS:
            assert check == {}  # the image's own
        else:
            assert check["test"][0] in ("CMD", "CMD-SHELL")


def test_it_waits_for_what_comes_before() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            done = "service_completed_successfully" if other in ONCE else "service_healthy"
            assert how == {"condition": done}, (name, other)
    assert {*SERVICES["migrate"]["depends_on"]} == {"postgres"}
    assert all({*service["depends_on"]} == {"welcome"} for service in PROGRAM_SERVICES.values())


def test_it_gives_programs_time_to_drain() -> None:
    settings = Settings.from_env({})
    for name, service in PROGRAM_SERVICES.items():
        grace = int(service["stop_grace_period"].removesuffix("s"))
        assert grace > settings.drain_hold + settings.drain_limit + 5, name


def test_it_listens_on_loopback_alone() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {
        "tracker": ["${LISTEN:-127.0.0.1}:8080:8080"],
        "manager": ["${LISTEN:-127.0.0.1}:8000:8000"],
    }
    networks = compose()["networks"]
    assert networks["postgres"] == networks["valkey"] == {"internal": True}


def test_its_valkey_loses_nothing() -> None:
    command = SERVICES["valkey"]["command"]
    options = dict(zip(command[2::2], command[3::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory-policy"] == "noeviction"
    assert "/data" in _mounts(SERVICES["valkey"])


def test_its_volumes_and_networks_exist() -> None:
    whole = compose()
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert used == set(whole["volumes"])
    assert {name for service in SERVICES.values() for name in service.get("networks", [])} == set(
        whole["networks"]
    )


def _mounts(service: dict[str, Any]) -> dict[str, str]:
    """Where a container has its volumes, and how: "ro" or nothing."""
    parts = [[*volume.split(":"), ""] for volume in service.get("volumes", [])]
    return {place: mode for _, place, mode, *_ in parts}


def _default(value: str) -> str:
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
