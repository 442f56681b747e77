"""Settings: everything a program may be told, read once from the environment.

A setting is added here and in `docs/configuration.md`, nowhere else; a test compares the two.
Any secret, and ROBOT_NETWORKS, may be given as `NAME_FILE`, the path of a file that holds it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from core.domain.currencies import DECIMALS
from core.domain.networks import Networks, parse_networks
from core.domain.ranges import Ranges, parse_ranges
from core.redis_url import read_redis_url

OBSERVE_HINT = (
    "install requirements/observe.lock (pip install --require-hashes -r requirements/observe.lock), "
    "or build the image with --build-arg OBSERVE=1"
)
"""What to do where a setting needs packages that only those install who want it."""


class SettingError(Exception):
    """A setting is missing or has a value that can not be used; the text is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the programs read. URLs have no trailing slash; durations are seconds."""

    database_url: str
    database_replica_url: str
    redis_url: str
    secret_key: str
    admin_url: str
    tracker_url: str
    org_name: str
    tz_default: ZoneInfo
    report_currency: str
    rates_url: str
    postbacks_kept_days: int
    host: str
    port: int | None
    metrics_port: int | None
    trusted_proxies: Networks
    robot_networks: Ranges | None
    default_hosts: tuple[str, ...]
    spool_dir: Path
    spool_max_mb: int
    snapshot_cache: int
    fast_lane: bool
    drain_hold: float
    drain_limit: float
    geoip_mmdb: Path | None
    smtp_url: str
    mail_from: str
    login_rate: int
    api_rate: int
    sending_networks: tuple[IPv4Network | IPv6Network, ...]
    worker_processes: int
    worker_threads: int
    worker_lease: int
    rollup_shards: int
    manager_threads: int
    manager_processes: int
    log_level: str
    log_format: str
    access_log_sample: int
    otel_exporter_otlp_endpoint: str
    otel_exporter_otlp_headers: str
    sentry_dsn: str
    tracker_fd: int | None = field(default=None)
    manager_fd: int | None = field(default=None)

    @property
    def postback_spool_dir(self) -> Path:
        """Where postbacks wait, apart from the clicks in `spool_dir`."""
        return self.spool_dir / "postbacks"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read every setting. Raises SettingError for the first one that can not be used."""
        env = _Reader(os.environ if environ is None else environ)
        return cls(
            database_url=env.postgres_url("DATABASE_URL"),
            database_replica_url=env.postgres_url("DATABASE_REPLICA_URL"),
            redis_url=env.redis_url("REDIS_URL"),
            secret_key=env.secret("SECRET_KEY", shortest=32),
            admin_url=env.url("ADMIN_URL", "http://localhost:8000", schemes=("http", "https")),
            tracker_url=env.url("TRACKER_URL", "http://127.0.0.1:8080", schemes=("http", "https")),
            org_name=env.text("ORG_NAME", "Rastro"),
            tz_default=env.zone("TZ_DEFAULT", "UTC"),
            report_currency=env.currency("REPORT_CURRENCY", "USD"),
            rates_url=env.url("RATES_URL", "", schemes=("http", "https"), secret=True),
            postbacks_kept_days=env.integer("POSTBACKS_KEPT_DAYS", 180, 1, 36_500),
            host=env.text("HOST", "127.0.0.1"),
            port=env.integer_or_none("PORT", 0, 65535),
            metrics_port=env.integer_or_none("METRICS_PORT", 0, 65535),
            trusted_proxies=env.networks("TRUSTED_PROXIES"),
            robot_networks=env.ranges("ROBOT_NETWORKS"),
            default_hosts=env.words("DEFAULT_HOSTS"),
            spool_dir=Path(env.text("SPOOL_DIR", "var/spool")),
            spool_max_mb=env.integer("SPOOL_MAX_MB", 512, 1, 1_000_000),
            snapshot_cache=env.integer("SNAPSHOT_CACHE", 100_000, 100, 10_000_000),
            fast_lane=env.integer("FAST_LANE", 1, 0, 1) == 1,
            drain_hold=env.seconds("DRAIN_HOLD", 1.0, 60.0),
            drain_limit=env.seconds("DRAIN_LIMIT", 25.0, 3600.0),
            geoip_mmdb=env.path_or_none("GEOIP_MMDB"),
            smtp_url=env.url("SMTP_URL", "", schemes=("smtp", "smtps", "smtp+starttls"), secret=True),
            mail_from=env.text("MAIL_FROM", "rastro@localhost"),
            login_rate=env.integer("LOGIN_RATE", 10, 0, 100_000),
            api_rate=env.integer("API_RATE", 600, 0, 1_000_000),
            sending_networks=env.own_networks("SENDING_NETWORKS"),
            worker_processes=env.integer("WORKER_PROCESSES", 1, 1, 64),
            worker_threads=env.integer("WORKER_THREADS", 1, 1, 64),
            worker_lease=env.integer("WORKER_LEASE", 15, 1, 3600),
            rollup_shards=env.integer("ROLLUP_SHARDS", 4, 1, 16),
            manager_threads=env.integer("MANAGER_THREADS", 8, 1, 128),
            manager_processes=env.integer("MANAGER_PROCESSES", 1, 1, 64),
            log_level=env.choice("LOG_LEVEL", "info", ("debug", "info", "warning", "error")),
            log_format=env.choice("LOG_FORMAT", "json", ("json", "text")),
            access_log_sample=env.integer("ACCESS_LOG_SAMPLE", 0, 0, 1_000_000_000),
            otel_exporter_otlp_endpoint=env.url(
                "OTEL_EXPORTER_OTLP_ENDPOINT", "", schemes=("http", "https"), secret=True
            ),
            otel_exporter_otlp_headers=env.raw_secret("OTEL_EXPORTER_OTLP_HEADERS"),
            sentry_dsn=env.url("SENTRY_DSN", "", schemes=("http", "https"), secret=True),
            tracker_fd=env.integer_or_none("TRACKER_FD", 3, 65535),
            manager_fd=env.integer_or_none("MANAGER_FD", 3, 65535),
        )

    def require(self, *names: str) -> "Settings":
        """Return self, or raise SettingError when a program needs one of `names` and it is empty."""
        for name in names:
            if not getattr(self, name):
                raise SettingError(
                    f"{name.upper()} is not set. It has no default; see docs/configuration.md."
                )
        return self


class _Reader:
    """Typed readers over an environment; each fails with one line that names the setting."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str, default: str) -> str:
        value = self._environ.get(name, "").strip()
        return value or default

    def raw_secret(self, name: str) -> str:
        value = self._environ.get(name, "").strip()
        path = self._environ.get(f"{name}_FILE", "").strip()
        if value and path:
            raise SettingError(f"Set either {name} or {name}_FILE, not both.")
        if not path:
            return value
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(f"{name}_FILE: {path} can not be read ({error}).") from error

    def secret(self, name: str, *, shortest: int) -> str:
        value = self.raw_secret(name)
        if value and len(value) < shortest:
            raise SettingError(f"{name} must have at least {shortest} characters; it has {len(value)}.")
        return value

    def url(self, name: str, default: str, *, schemes: tuple[str, ...], secret: bool = False) -> str:
        value = self.raw_secret(name) or default
        if not value:
            return ""
        shown = "(hidden)" if secret else value
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError as error:
            raise SettingError(f"{name} is not an address: {shown}.") from error
        if parts.scheme not in schemes:
            raise SettingError(f"{name} must start with one of {', '.join(s + '://' for s in schemes)}.")
        if parts.scheme in ("http", "https") and not parts.hostname:
            raise SettingError(f"{name} has no host name: {shown}.")
        return value.rstrip("/")

    def postgres_url(self, name: str) -> str:
        """`postgres://` and `postgresql://` become the form with the driver's name that SQLAlchemy wants."""
        value = self.raw_secret(name)
        if not value:
            return ""
        scheme, separator, rest = value.partition("://")
        if not separator or scheme not in ("postgres", "postgresql", "postgresql+psycopg"):
            raise SettingError(f"{name} must start with postgresql:// (only PostgreSQL is supported).")
        return f"postgresql+psycopg://{rest}"

    def redis_url(self, name: str) -> str:
        value = self.raw_secret(name).rstrip("/")
        if value:
            try:
                read_redis_url(value)
            except ValueError as error:
                raise SettingError(f"{name} {error}.") from error
        return value

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        value = self.integer_or_none(name, low, high)
        return default if value is None else value

    def integer_or_none(self, name: str, low: int, high: int) -> int | None:
        value = self.text(name, "")
        if not value:
            return None
        try:
            number = int(value)
        except ValueError as error:
            raise SettingError(f"{name} must be a whole number, not {value!r}.") from error
        if not low <= number <= high:
            raise SettingError(f"{name} must be between {low} and {high}, not {number}.")
        return number

    def seconds(self, name: str, default: float, high: float) -> float:
        value = self.text(name, "")
        if not value:
            return default
        try:
            number = float(value)
        except ValueError as error:
            raise SettingError(f"{name} must be a number of seconds, not {value!r}.") from error
        if not 0 <= number <= high:
            raise SettingError(f"{name} must be between 0 and {high:g} seconds, not {value}.")
        return number

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name, default).lower()
        if value not in allowed:
            raise SettingError(f"{name} must be one of {', '.join(allowed)}, not {value!r}.")
        return value

    def words(self, name: str) -> tuple[str, ...]:
        return tuple(word.lower() for word in self.text(name, "").replace(",", " ").split())

    def zone(self, name: str, default: str) -> ZoneInfo:
        value = self.text(name, default)
        try:
            return ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise SettingError(
                f"{name} must be a time zone such as America/Sao_Paulo, not {value!r}."
            ) from error

    def currency(self, name: str, default: str) -> str:
        value = self.text(name, default).upper()
        if value not in DECIMALS:
            raise SettingError(f"{name} must be a currency such as USD or BRL, not {value!r}.")
        return value

    def networks(self, name: str) -> Networks:
        try:
            return parse_networks(self.text(name, ""))
        except ValueError as error:
            raise SettingError(f"{name}: {error}.") from error

    def own_networks(self, name: str) -> tuple[IPv4Network | IPv6Network, ...]:
        """Ranges alone: a number of hops means nothing here."""
        found = self.networks(name)
        if found.hops:
            raise SettingError(f"{name} must be ranges such as 10.0.0.0/8, not a number.")
        return found.ranges

    def ranges(self, name: str) -> Ranges | None:
        """Like a secret, it may lie in a file: lists of ranges are long."""
        try:
            return parse_ranges(self.raw_secret(name))
        except ValueError as error:
            raise SettingError(f"{name}: {error}.") from error

    def path_or_none(self, name: str) -> Path | None:
        value = self.text(name, "")
        if not value:
            return None
        path = Path(value)
        if not path.is_file():
            raise SettingError(f"{name}: there is no file {value}.")
        return path
