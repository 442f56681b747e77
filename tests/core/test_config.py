"""Settings: typed, loud, and secret where they should be."""

from pathlib import Path

import pytest

from core.config import SettingError, Settings


def test_it_has_defaults_but_none_for_secrets_and_servers() -> None:
    settings = Settings.from_env({})
    assert (settings.secret_key, settings.database_url, settings.redis_url, settings.smtp_url) == (
        "",
        "",
        "",
        "",
    )
    assert settings.host == "127.0.0.1"
    with pytest.raises(SettingError, match="SECRET_KEY is not set"):
        settings.require("secret_key")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("DATABASE_URL", "mysql://x/y", "only PostgreSQL"),
        ("DATABASE_URL", "sqlite:///x.db", "only PostgreSQL"),
        ("REDIS_URL", "http://x", "must start with"),
        ("REDIS_URL", "redis+other://x", "must start with"),
        ("REDIS_URL", "redis+server://x", "must start with"),
        ("REDIS_URL", "unix+cluster:///x", "must start with"),
        ("REDIS_URL", "redis://?db=1", "no host name"),
        ("REDIS_URL", "redis+cluster://a:1,:2", "no host name"),
        ("REDIS_URL", "redis+cluster://a:1,b:two", "not an address"),
        ("REDIS_URL", "redis+cluster://a:1/3", "a cluster has no other"),
        ("REDIS_URL", "redis+cluster://a:1?db=3", "a cluster has no other"),
        ("REDIS_URL", "redis+sentinel://a:1,b:2", "name the primary"),
        ("REDIS_URL", "redis+sentinel://a:1/links/first", "database number"),
        ("REDIS_URL", "redis://a?db=first", "database number"),
        ("REDIS_URL", "redis://a?ssl_ca_certs=/x.pem", "needs rediss://"),
        ("REDIS_URL", "rediss://a?ssl_ca_certs=/not/there.pem", "no file /not/there.pem"),
        ("REDIS_URL", "rediss://a?ssl_cert_reqs=maybe", "none, optional, required"),
        ("REDIS_URL", "redis://a?retries=3", "not known: retries"),
        ("REDIS_URL", "redis://a?sentinel_password=x", "not known: sentinel_password"),
        ("SECRET_KEY", "short", "at least 32"),
        ("ADMIN_URL", "ftp://x", "must start with"),
        ("ADMIN_URL", "http://", "no host name"),
        ("ADMIN_URL", "http://x:99999", "not an address"),
        ("TZ_DEFAULT", "Mars/Olympus", "time zone"),
        ("TZ_DEFAULT", "../../etc/passwd", "time zone"),
        ("PORT", "eighty", "whole number"),
        ("PORT", "70000", "between"),
        ("TRUSTED_PROXIES", "10.0.0.0/33", "TRUSTED_PROXIES"),
        ("TRUSTED_PROXIES", "99", "hop count"),
        ("SENDING_NETWORKS", "2", "must be ranges"),
        ("SENDING_NETWORKS", "10.0.0.0/33", "SENDING_NETWORKS"),
        ("ROBOT_NETWORKS", "10.0.0.0/33", "ROBOT_NETWORKS"),
        ("ROBOT_NETWORKS", "::/0", "everybody"),
        ("GEOIP_MMDB", "/does/not/exist.mmdb", "no file"),
        ("DRAIN_HOLD", "soon", "seconds"),
        ("DRAIN_HOLD", "-1", "between"),
        ("LOGIN_RATE", "-1", "between"),
        ("SNAPSHOT_CACHE", "5", "between"),
        ("LOG_LEVEL", "loud", "one of"),
        ("ACCESS_LOG_SAMPLE", "0.5", "whole number"),
        ("SMTP_URL", "mail.example", "must start with"),
    ],
)
def test_it_refuses_a_bad_value_with_one_line_that_names_the_setting(
    name: str, value: str, words: str
) -> None:
    with pytest.raises(SettingError) as caught:
        Settings.from_env({name: value})
    text = str(caught.value)
    assert name in text
    assert words in text
    assert "\n" not in text


@pytest.mark.parametrize(
    "name", ["DATABASE_REPLICA_URL", "REDIS_URL", "SMTP_URL", "DATABASE_URL", "SECRET_KEY", "SENTRY_DSN"]
)
def test_it_repeats_no_secret(name: str) -> None:
    for value in (
        "redis://:s3cret@cache:port",
        "redis+sentinel://:s3cret@a",
        "s3cret://x",
        "smtp://a:s3cret@[x",
        "s3cret",
    ):
        with pytest.raises(SettingError) as caught:
            Settings.from_env({name: value})
        assert "s3cret" not in str(caught.value)


def test_it_reads_a_secret_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("x" * 40 + "\n")
    assert Settings.from_env({"SECRET_KEY_FILE": str(secret)}).secret_key == "x" * 40
    with pytest.raises(SettingError, match="not both"):
        Settings.from_env({"SECRET_KEY_FILE": str(secret), "SECRET_KEY": "y" * 40})
    with pytest.raises(SettingError, match="can not be read"):
        Settings.from_env({"SECRET_KEY_FILE": str(tmp_path / "gone")})


def test_it_reads_networks_of_robots_from_a_file(tmp_path: Path) -> None:
    assert Settings.from_env({}).robot_networks is None
    listed = tmp_path / "networks"
    listed.write_text("192.0.2.0/24 # scanners\n2001:db8::/32\n")
    networks = Settings.from_env({"ROBOT_NETWORKS_FILE": str(listed)}).robot_networks
    assert networks is not None and networks.contains("192.0.2.9") and not networks.contains("198.51.100.9")


def test_it_never_shows_a_secret_in_an_error() -> None:
    with pytest.raises(SettingError) as caught:
        Settings.from_env({"SMTP_URL": "smtp://user:hunter2@host:notaport"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_it_accepts_every_spelling_of_a_postgres_address(scheme: str) -> None:
    settings = Settings.from_env({"DATABASE_URL": f"{scheme}://u:p@h/d"})
    assert settings.database_url == "postgresql+psycopg://u:p@h/d"
