"""`rastro check`: looks at everything an installation stands on, and says what to do about what is wrong."""

import argparse
import os
import shutil
import smtplib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

import psycopg
from redis import RedisError
from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from core import error_reports, traces
from core.config import SettingError, Settings
from core.db.conversions import ConversionSource
from core.db.engine import make_engine
from core.db.migrate import current_revision, head_revision, revisions
from core.db.rates import rates_of
from core.db.replica import MOST_LAG_S, replica_lag
from core.domain.hosts import is_loopback
from core.domain.sources import settings_of
from core.ops.commands import CommandFailed
from core.ops.connect import known_environment
from core.ops.external import (
    look_at_postgres,
    look_at_redis,
    plain_url,
    postgres_fault,
    redis_fault,
)
from core.services.exchange_rates import missing_rates
from core.services.publishing import is_published
from core.services.redis_client import make_redis

OK, WARN, FAIL = "ok", "warn", "fail"

_LARGEST_SKEW = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table; `todo` is empty where nothing is to be done."""

    state: str
    what: str
    found: str
    todo: str = ""


def run_check(args: argparse.Namespace) -> int:
    """Print the table; 0 when nothing failed (warnings are allowed), else 1."""
    findings = list(look(known_environment(args.data)))
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        print(f"{finding.state:4}  {finding.what:{width}}  {finding.found}")
        if finding.todo:
            print(f"{'':4}  {'':{width}}  -> {finding.todo}")
    failed = sum(finding.state == FAIL for finding in findings)
    warned = sum(finding.state == WARN for finding in findings)
    print(f"\n{failed} failed, {warned} to look at." if failed or warned else "\nAll is well.")
    return 1 if failed else 0


def look(environ: dict[str, str]) -> Iterator[Finding]:
    """Every finding, in the order of the table."""
    bad, settings = _read_settings(environ)
    yield from bad
    if settings is None:
        return
    if not bad:
        yield Finding(OK, "settings", "every value can be used")
    yield from _secret(settings)
    yield from _guarded("PostgreSQL", settings.database_url, "DATABASE_URL", lambda: _postgres(settings))
    if settings.database_replica_url:
        url = settings.database_replica_url
        yield from _guarded("replica", url, "DATABASE_REPLICA_URL", lambda: _replica(settings))
    yield from _guarded("Redis", settings.redis_url, "REDIS_URL", lambda: _redis(settings))
    yield from _mail(settings)
    yield from _observed("traces", lambda: traces.check(settings.otel_exporter_otlp_endpoint))
    yield from _observed("error reports", lambda: error_reports.check(settings.sentry_dsn))
    yield from _spool(settings)
    yield from _addresses(settings)
    if settings.geoip_mmdb is None:
        yield Finding(OK, "countries", "GEOIP_MMDB is not set, so countries stay unknown")


def _read_settings(environ: dict[str, str]) -> tuple[list[Finding], Settings | None]:
    """All settings that can not be used, not only the first, and the rest as if they were not set."""
    left, bad = dict(environ), list[Finding]()
    while True:
        try:
            return bad, Settings.from_env(left)
        except SettingError as error:
            name = str(error).split()[0].rstrip(":")
            bad.append(Finding(FAIL, name, str(error), "see docs/configuration.md"))
            if left.pop(name, None) is None and left.pop(f"{name}_FILE", None) is None:
                return bad, None


def _secret(settings: Settings) -> Iterator[Finding]:
    if settings.secret_key:
        yield Finding(OK, "SECRET_KEY", f"{len(settings.secret_key)} characters")
    else:
        yield Finding(
            FAIL,
            "SECRET_KEY",
            "is not set",
            "set 32 random characters or more: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'",
        )


def _guarded(what: str, url: str, setting: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    if not url:
        yield Finding(FAIL, what, f"{setting} is not set", f"set {setting}, or start ./rastro up")
        return
    try:
        yield from look()
    except CommandFailed as error:
        yield Finding(FAIL, what, str(error))
    except (psycopg.Error, RedisError) as error:
        yield Finding(FAIL, what, " ".join(str(error).split()))


def _postgres(settings: Settings) -> Iterator[Finding]:
    facts = look_at_postgres(settings.database_url)
    fault = postgres_fault(facts)
    behind = ", behind a pooler" if facts.is_pooled else ""
    yield (
        Finding(FAIL, "PostgreSQL", fault)
        if fault
        else Finding(OK, "PostgreSQL", f"{facts.version} answers{behind}")
    )
    engine = make_engine(settings.database_url)
    head = head_revision()
    try:
        with engine.connect() as connection:
            revision = current_revision(connection)
        rates = list(_rates(engine, settings.report_currency)) if revision == head else []
    finally:
        engine.dispose()
    if revision == head:
        yield Finding(OK, "tables", f"revision {head}, as this release wants")
        yield from rates
    elif revision is None or revision in revisions():
        yield Finding(
            FAIL,
            "tables",
            f"revision {revision or 'none'}; this release wants {head}",
            "run ./rastro migrate",
        )
    else:
        yield Finding(
            FAIL, "tables", f"revision {revision} is of a newer release", "start that release or a newer one"
        )
    with psycopg.connect(plain_url(settings.database_url), connect_timeout=5) as raw:
        row = raw.execute("select clock_timestamp()").fetchone()
    skew = abs((datetime.now(UTC) - row[0]).total_seconds()) if row else 0.0
    if skew > _LARGEST_SKEW:
        yield Finding(WARN, "clock", f"differs from PostgreSQL's by {skew:.0f} s", "set both by NTP")


def _rates(engine: Engine, report_currency: str) -> Iterator[Finding]:
    """Of conversions in a currency without a rate no report knows. Nothing to say where all are in one currency."""
    today = datetime.now(UTC).date()
    with Session(engine) as session:
        users: dict[str, list[str]] = {}
        for name, stored in session.execute(
            select(ConversionSource.name, ConversionSource.settings)
            .where(ConversionSource.is_active)
            .order_by(ConversionSource.name)
        ):
            currency = settings_of(stored).currency
            if currency and currency != report_currency:
                users.setdefault(currency, []).append(name)
        missing = {one.currency: one.conversions for one in missing_rates(session)}
        known = rates_of(
            session.connection(), [(currency, today) for currency in users], report_currency=report_currency
        )
    without = sorted({*missing, *(currency for currency in users if (currency, today) not in known)})
    for currency in without:
        counted = f"conversions that are in no report: {missing[currency]:,}" if currency in missing else ""
        named = f"sent by {', '.join(users[currency])}" if currency in users else ""
        yield Finding(
            WARN,
            "exchange rates",
            f"no rate of {currency}; {'; '.join(filter(None, (named, counted)))}",
            "fill it in at Settings, Exchange rates, or set RATES_URL",
        )
    if users and not without:
        yield Finding(OK, "exchange rates", f"known for {', '.join(sorted(users))}")


def _replica(settings: Settings) -> Iterator[Finding]:
    primary = make_engine(settings.database_url)
    replica = make_engine(settings.database_replica_url, reads_only=True)
    try:
        lag = replica_lag(replica, primary)
    except SQLAlchemyError as error:
        yield Finding(
            WARN,
            "replica",
            f"can not be asked ({' '.join(str(error).split())[:200]})",
            "check DATABASE_REPLICA_URL; reports are read from the primary meanwhile",
        )
        return
    finally:
        primary.dispose()
        replica.dispose()
    if lag is None:
        yield Finding(
            WARN,
            "replica",
            "follows no primary, so it is not used",
            "make it a streaming replica of DATABASE_URL",
        )
    elif lag > MOST_LAG_S:
        yield Finding(
            WARN, "replica", f"is {lag:.0f} s behind, so it is not used now", "see what keeps it busy"
        )
    else:
        yield Finding(OK, "replica", f"is {lag:.1f} s behind")


def _redis(settings: Settings) -> Iterator[Finding]:
    facts = look_at_redis(settings.redis_url)
    fault = redis_fault(facts)
    if fault:
        yield Finding(FAIL, "Redis", fault)
    else:
        yield Finding(OK, "Redis", f"{facts.name} {facts.version} answers, evicts nothing")
    if not facts.keeps_on_disk:
        yield Finding(
            WARN,
            "Redis on disk",
            "the append-only file is off, so a crash of Redis loses the clicks that are queued",
            "set appendonly yes and appendfsync always or everysec",
        )
    client = make_redis(settings.redis_url, connect_timeout=5, timeout=5)
    try:
        published = is_published(client)
    finally:
        client.close()
    if published:
        yield Finding(OK, "links in Redis", "published")
    else:
        yield Finding(WARN, "links in Redis", "never published completely", "run ./rastro republish")


def _mail(settings: Settings) -> Iterator[Finding]:
    if not settings.smtp_url:
        yield Finding(
            WARN, "mail", "SMTP_URL is not set, so mails are only written to the log", "set SMTP_URL"
        )
        return
    parts = urlsplit(settings.smtp_url)
    secure = parts.scheme == "smtps"
    client: smtplib.SMTP | None = None
    try:
        kind = smtplib.SMTP_SSL if secure else smtplib.SMTP
        client = kind(parts.hostname or "localhost", parts.port or (465 if secure else 587), timeout=5)
        client.ehlo()
        if parts.scheme == "smtp+starttls":
            client.starttls()
        if parts.username:
            client.login(unquote(parts.username), unquote(parts.password or ""))
        yield Finding(OK, "mail", f"{parts.hostname} answers")
    except (OSError, smtplib.SMTPException) as error:
        yield Finding(FAIL, "mail", f"{parts.hostname} does not take mail ({error})", "check SMTP_URL")
    finally:
        if client is not None:
            client.close()


def _observed(what: str, check: Callable[[], None]) -> Iterator[Finding]:
    """Nothing to say where all is well: most installations have neither."""
    try:
        check()
    except SettingError as error:
        yield Finding(FAIL, what, str(error), "see docs/observability.md")


def _spool(settings: Settings) -> Iterator[Finding]:
    folder = settings.spool_dir.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"probe")
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        yield Finding(
            FAIL,
            "spool",
            f"{folder} can not be written ({error.strerror})",
            "set SPOOL_DIR to a folder of ours",
        )
        return
    free, most = shutil.disk_usage(folder).free // 1_000_000, 2 * settings.spool_max_mb
    if free < most:
        yield Finding(
            WARN,
            "spool",
            f"{folder} has {free} MB free, and may take {most}: clicks, and as much of postbacks",
            "free some space",
        )
    else:
        yield Finding(OK, "spool", f"{folder} can be written")


def _addresses(settings: Settings) -> Iterator[Finding]:
    for name, url in (("ADMIN_URL", settings.admin_url), ("TRACKER_URL", settings.tracker_url)):
        parts = urlsplit(url)
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            yield Finding(
                WARN,
                name,
                f"{url} is not encrypted",
                "put a proxy with TLS in front (docs/examples/Caddyfile)",
            )
        elif parts.scheme == "https" and not (
            settings.trusted_proxies.hops or settings.trusted_proxies.ranges
        ):
            yield Finding(
                WARN,
                name,
                f"{url}, but TRUSTED_PROXIES is empty: every visitor has the proxy's address",
                "set TRUSTED_PROXIES",
            )
        else:
            yield Finding(OK, name, url)
