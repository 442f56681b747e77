"""From rows to the snapshots that trackers read. Per key, never per link: a slug can change its owner.

Under an advisory lock of the key, the row that owns it NOW is read and a revision is drawn from one sequence; Redis
keeps the higher revision, so writers may arrive in any order.
"""

import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any, cast

import msgspec
from redis import Redis, RedisError
from sqlalchemy import Connection, Engine, Row, delete, func, select, text, tuple_
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from core.contracts import domain_snapshot, keys, link_snapshot, source_snapshot
from core.contracts.domain_snapshot import DomainSnapshot
from core.contracts.link_snapshot import GONE, LIVE, LOCKED, PAUSED, AppLinks, LinkSnapshot
from core.contracts.snapshot import put_script, revision_of
from core.db.models import Campaign, Domain, Link
from core.db.work import Outbox, snapshot_revision
from core.domain.app_links import ascii_app_url
from core.domain.urls import ascii_url
from core.services.link_caps import forget_strangers, seed_counts
from core.services.link_targets import NO_TARGETS, Targets, targets_of
from core.services.redis_client import ask_each, is_spread, servers, spread
from core.services.source_snapshots import sources_of
from core.traces import CLIENT, journey, span

log = logging.getLogger(__name__)

QUEUE = "publish"
LINK_TASK, DOMAIN_TASK, DEFAULT_DOMAIN_TASK = "publish.link", "publish.domain", "publish.default_domain"
SOURCES_TASK = "publish.sources"

_REPAIR_AFTER = timedelta(seconds=2)  # the inline publish has done it long before, or has failed
_LOCK_WAIT = "2s"
_REPUBLISH_LOCK = 0x5265707562
_BATCH = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OF_LINK = (
    Link.id,
    Link.state,
    Link.url,
    Link.starts_at,
    Link.expires_at,
    Link.fallback_url,
    Link.click_cap,
    Link.ios_url,
    Link.android_url,
    Link.redirect_status,
    Link.no_referrer,
    Link.pass_query,
    Link.click_id_param,
    Link.password_hash,
    Link.campaign_id,
    Campaign.name.label("campaign"),
)
_STATES = {"live": LIVE, "paused": PAUSED, "archived": GONE, "deleted": GONE}


class RepublishInterrupted(Exception):
    """Redis lost what was written before the republish ended; the ready marker was not set. Run it again."""


def publish_link(engine: Engine, redis: Redis, *, domain_id: int, slug_key: str) -> None:
    """Write the snapshot of the link that owns this key now, or a tombstone, and before it the count for its cap.
    Raises RedisError, SQLAlchemyError."""

    def read(connection: Connection, revision: int) -> bytes:
        row = connection.execute(
            select(*_OF_LINK)
            .outerjoin(Campaign, Campaign.id == Link.campaign_id)
            .where(Link.domain_id == domain_id, Link.slug_key == slug_key)
        ).one_or_none()
        if row is None:
            return link_snapshot.encode(LinkSnapshot(), revision=revision)
        seed_counts(connection, redis, {row.id: row.click_cap})
        targets = targets_of(connection, [row.id]).get(row.id, NO_TARGETS)
        return link_snapshot.encode(link_of(row, targets), revision=revision)

    _publish(engine, redis, keys.link(domain_id, slug_key), read)


def publish_domain(engine: Engine, redis: Redis, *, host: str) -> None:
    """Write the snapshot of the domain that answers for `host`, or a tombstone. Raises as `publish_link`."""
    _publish(
        engine,
        redis,
        keys.domain(host),
        lambda connection, revision: _domain(connection, revision, host=host),
    )


def publish_default_domain(engine: Engine, redis: Redis) -> None:
    """Write the snapshot of the default domain, or a tombstone when there is none. Raises as `publish_link`."""
    _publish(
        engine,
        redis,
        keys.DEFAULT_DOMAIN,
        lambda connection, revision: _domain(connection, revision, host=None),
    )


def publish_sources(engine: Engine, redis: Redis) -> None:
    """Write the snapshot of all sources of conversions. Raises as `publish_link`."""
    _publish(
        engine,
        redis,
        keys.SOURCES,
        lambda connection, revision: source_snapshot.encode(sources_of(connection), revision=revision),
    )


def announce_link(session: Session, *, domain_id: int, slug_key: str, now: datetime) -> Outbox:
    """Put into the session's transaction that this key must be published."""
    return _announce(session, LINK_TASK, [domain_id, slug_key], now)


def announce_domain(session: Session, *, host: str, now: datetime) -> Outbox:
    """Put into the session's transaction that this host must be published."""
    return _announce(session, DOMAIN_TASK, [host], now)


def announce_default_domain(session: Session, *, now: datetime) -> Outbox:
    """Put into the session's transaction that the default domain must be published."""
    return _announce(session, DEFAULT_DOMAIN_TASK, [], now)


def announce_sources(session: Session, *, now: datetime) -> Outbox:
    """Put into the session's transaction that the sources of conversions must be published."""
    return _announce(session, SOURCES_TASK, [], now)


def publish_now(session: Session, redis: Redis | None, announced: Sequence[Outbox]) -> bool:
    """Publish what a committed transaction announced, and take it out of the outbox.

    Never raises: the change is already saved. What fails, or all of it without `redis`, stays in the outbox, and a
    worker publishes it within seconds. True when everything is out. Waits a few seconds at worst.
    """
    if redis is None or not announced:
        return not announced
    engine = session.get_bind().engine
    try:
        with span("publish", facts={"rastro.keys": len(announced)}):
            for row in announced:
                _run(engine, redis, row)
        with engine.begin() as connection:
            connection.execute(delete(Outbox).where(Outbox.id.in_([row.id for row in announced])))
    except (RedisError, SQLAlchemyError) as error:
        log.warning("publish_postponed keys=%s reason=%s", [row.args for row in announced], error)
        return False
    return True


def republish_all(engine: Engine, redis: Redis, progress: Callable[[int, int], None] | None = None) -> int:
    """Write every domain, link and source again, tombstones for what has no row any more, and last the ready marker.

    Safe beside edits: all is written with one revision, drawn before any row is read, so whatever is published
    meanwhile has a higher one and stays. `progress(done, total)` is told after each batch. Returns the number of links.
    Raises RedisError, SQLAlchemyError, and RepublishInterrupted when Redis was emptied meanwhile.
    """
    token = secrets.token_hex(8)
    with engine.connect() as connection, connection.begin():
        connection.execute(
            text("set local idle_in_transaction_session_timeout = 0")
        )  # Redis may take its time
        connection.execute(select(func.pg_advisory_xact_lock(_REPUBLISH_LOCK)))
        _begin(redis, token)
        highest, orphans = _survey(connection, redis)
        lift_revisions(connection, above=highest)
        revision = _draw(connection)
        forget_strangers(connection, redis)
        _write_domains(connection, redis, revision)
        put(redis, keys.SOURCES, source_snapshot.encode(sources_of(connection), revision=revision))
        links = _write_links(connection, redis, revision, progress)
        for domain_id, slug_key in orphans:
            publish_link(engine, redis, domain_id=domain_id, slug_key=slug_key)
        _set_ready(
            redis, token, revision
        )  # still under the lock: the next republish writes a token of its own
    return links


def link_of(row: Row[*tuple[Any, ...]], targets: Targets) -> LinkSnapshot:
    """What the tracker must know of a link, its rules and split included; `row` has at least the columns _OF_LINK."""
    state = _STATES[row.state]
    return LinkSnapshot(
        link_id=row.id,
        state=LOCKED if state == LIVE and row.password_hash else state,
        url=ascii_url(row.url),
        rules=targets.rules,
        split=targets.split,
        split_key=targets.split_key,
        starts_ms=_ms(row.starts_at),
        expires_ms=_ms(row.expires_at),
        fallback_url=ascii_url(row.fallback_url),
        click_cap=row.click_cap or 0,
        status=row.redirect_status,
        no_referrer=row.no_referrer,
        pass_query=row.pass_query,
        click_id_param=row.click_id_param,
        password_hash=row.password_hash,
        campaign_id=row.campaign_id or 0,
        campaign=row.campaign or "",
        apps=_apps(row.ios_url, row.android_url),
    )


def domain_of(row: Domain) -> DomainSnapshot:
    """What the tracker must know of a domain's row."""
    return DomainSnapshot(
        domain_id=row.id,
        host=row.host,
        case_sensitive=row.case_sensitive,
        brand=row.brand,
        root_url=ascii_url(row.root_url),
        not_found_url=ascii_url(row.not_found_url),
        expired_url=ascii_url(row.expired_url),
        source_param=row.source_param,
        apple_file=_file(row.apple_app_site_association),
        android_file=_file(row.assetlinks),
    )


def put(redis: Redis, name: str, framed: bytes) -> bool:
    """Write a framed snapshot and announce it, unless Redis holds a newer one (False)."""
    with span("put snapshot", kind=CLIENT, facts={"db.system.name": "redis"}):
        return bool(spread(redis).register_script(_script())(keys=[name], args=[framed, keys.CHANGED]))


def is_published(redis: Redis) -> bool:
    """True while Redis has all snapshots, as far as it knows. Raises RedisError."""
    return all(ask_each(redis, [(ready, ("EXISTS", ready)) for _, ready in _markers(redis)]))


def scan(redis: Redis, pattern: str) -> Iterator[bytes]:
    """Every name of a pattern, on all servers. Raises RedisError."""
    for server in servers(redis):
        yield from server.scan_iter(match=pattern, count=_BATCH)


def lift_revisions(connection: Connection, *, above: int) -> None:
    """Make the next revision higher than `above`.

    Needed after PostgreSQL was restored from a backup while Redis kept what came later: without it Redis would hold
    on to the old snapshots for ever.
    """
    drawn = "select case when is_called then last_value else last_value - 1 end from snapshot_revision"
    last = connection.scalar(text(drawn)) or 0
    if last < above:
        log.warning("revisions_lifted from=%s to=%s", last, above + 1000)
        connection.execute(text("select setval('snapshot_revision', :value)"), {"value": above + 1000})


def _publish(engine: Engine, redis: Redis, name: str, read: Callable[[Connection, int], bytes]) -> None:
    with engine.begin() as connection:
        connection.execute(text("select set_config('lock_timeout', :wait, true)"), {"wait": _LOCK_WAIT})
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))
        if put(redis, name, read(connection, _draw(connection))):
            return
        lift_revisions(connection, above=revision_of(cast(bytes, spread(redis).getrange(name, 0, 7))))
        put(redis, name, read(connection, _draw(connection)))


def _draw(connection: Connection) -> int:
    return int(connection.scalar(snapshot_revision.next_value()))


def _domain(connection: Connection, revision: int, *, host: str | None) -> bytes:
    which = Domain.is_default if host is None else Domain.host == host
    with Session(connection) as session:
        row = session.scalars(select(Domain).where(which)).one_or_none()
        return domain_snapshot.encode(DomainSnapshot() if row is None else domain_of(row), revision=revision)


def _announce(session: Session, task: str, args: list[int | str], now: datetime) -> Outbox:
    row = Outbox(
        queue=QUEUE,
        task=task,
        args=args,
        not_before=now + _REPAIR_AFTER,
        created_at=now,
        request=journey(),
    )
    session.add(row)
    return row


def _run(engine: Engine, redis: Redis, row: Outbox) -> None:
    if row.task == LINK_TASK:
        publish_link(engine, redis, domain_id=row.args[0], slug_key=row.args[1])
    elif row.task == DOMAIN_TASK:
        publish_domain(engine, redis, host=row.args[0])
    elif row.task == SOURCES_TASK:
        publish_sources(engine, redis)
    else:
        publish_default_domain(engine, redis)


def _survey(connection: Connection, redis: Redis) -> tuple[int, list[tuple[int, str]]]:
    """The highest revision that Redis holds, and the links it holds that have no row."""
    highest, orphans = 0, []
    for pattern in (keys.LINKS, keys.DOMAINS, keys.SOURCES):
        for names in _batches(scan(redis, pattern)):
            held = ask_each(redis, [(name.decode(), ("GETRANGE", name, 0, 7)) for name in names])
            highest = max([highest, *map(revision_of, held)])
            if pattern == keys.LINKS:
                wanted = {keys.link_of(name) for name in names}
                pair = tuple_(Link.domain_id, Link.slug_key)
                found = connection.execute(select(Link.domain_id, Link.slug_key).where(pair.in_(wanted)))
                orphans += sorted(wanted - {(row.domain_id, row.slug_key) for row in found})
    return highest, orphans


def _write_domains(connection: Connection, redis: Redis, revision: int) -> None:
    with Session(connection) as session:
        rows = session.scalars(select(Domain)).all()
        snapshots = {keys.domain(row.host): domain_of(row) for row in rows}
        default = next((domain_of(row) for row in rows if row.is_default), DomainSnapshot())
    gone = {name.decode() for name in scan(redis, keys.DOMAINS)} - snapshots.keys()
    snapshots |= {name: DomainSnapshot() for name in gone} | {keys.DEFAULT_DOMAIN: default}
    for name, snapshot in snapshots.items():
        put(redis, name, domain_snapshot.encode(snapshot, revision=revision))


def _write_links(
    connection: Connection, redis: Redis, revision: int, progress: Callable[[int, int], None] | None
) -> int:
    total = connection.scalar(select(func.count()).select_from(Link)) or 0
    every = select(Link.domain_id, Link.slug_key, *_OF_LINK).outerjoin(
        Campaign, Campaign.id == Link.campaign_id
    )
    rows = connection.execute(every.execution_options(yield_per=_BATCH))
    digest, done = _load(redis, _script()), 0
    for batch in rows.partitions():
        seed_counts(connection, redis, {row.id: row.click_cap for row in batch})
        targets = targets_of(connection, [row.id for row in batch])
        commands = []
        for row in batch:
            snapshot = link_of(row, targets.get(row.id, NO_TARGETS))
            framed = link_snapshot.encode(snapshot, revision=revision)
            name = keys.link(row.domain_id, row.slug_key)
            commands.append((name, ("EVALSHA", digest, 1, name, framed, keys.CHANGED)))
        ask_each(redis, commands)
        done += len(batch)
        if progress is not None:
            progress(done, max(total, done))
    return done


def _begin(redis: Redis, token: str) -> None:
    """Leave the token where it is lost together with the snapshots."""
    ttl = keys.SNAPSHOTS_RUN_TTL_S
    ask_each(redis, [(run, ("SET", run, token, "EX", ttl)) for run, _ in _markers(redis)])


def _set_ready(redis: Redis, token: str, revision: int) -> None:
    """Set each marker where the token still stands, in one step: on an emptied Redis it would make every link a 404."""
    digest = _load(redis, _mark_script())
    commands = [
        (run, ("EVALSHA", digest, 2, run, ready, token, str(revision))) for run, ready in _markers(redis)
    ]
    if not all(ask_each(redis, commands)):
        raise RepublishInterrupted("Redis was emptied while it was being filled")


def _markers(redis: Redis) -> list[tuple[str, str]]:
    """Names of the token and the ready marker: one pair, or one for each slot of a cluster."""
    if is_spread(redis):
        return [(keys.run_in(slot), keys.ready_in(slot)) for slot in range(keys.SLOTS)]
    return [(keys.SNAPSHOTS_RUN, keys.SNAPSHOTS_READY)]


def _load(redis: Redis, script: str) -> str:
    """Have every server know a script; its digest."""
    digests = [str(server.script_load(script)) for server in servers(redis)]
    return digests[0]


def _ms(at: datetime | None) -> int | None:
    return None if at is None else (at - _EPOCH) // timedelta(milliseconds=1)


def _apps(ios_url: str, android_url: str) -> AppLinks | None:
    if not ios_url and not android_url:
        return None
    return AppLinks(ios=ascii_app_url(ios_url), android=ascii_app_url(android_url))


def _file(content: object) -> memoryview | None:
    return None if content is None else memoryview(msgspec.json.encode(content))


def _batches(names: Iterable[bytes]) -> Iterator[list[bytes]]:
    left = iter(names)
    while batch := list(islice(left, _BATCH)):
        yield batch


@cache
def _script() -> str:
    return put_script()


@cache
def _mark_script() -> str:
    return files("core.contracts").joinpath("mark_ready.lua").read_text(encoding="utf-8")
