"""Every name in Redis, and how long it lives. No other file writes a Redis name.

Names that one script touches together share the hash tag `{rastro}`, so that they lie on one shard of a cluster, and so
do all others but snapshots and what is known of visitors: those grow with the number of links, and are spread. Two
deployments on one server use two database numbers.
"""

from binascii import crc_hqx
from collections.abc import Sequence
from functools import cache
from typing import Any

QUEUES = ("publish", "conversion", "system", "track")
GROUP = "workers"

EVENT_FIELD = b"e"
TASK_FIELD = b"m"

ACCEPTED = "{rastro}:books:accepted"
"""Hash: hour of the click id ("2026112314", UTC) -> clicks accepted by the commit script. Copied to PostgreSQL."""

ANSWERED = "{rastro}:books:answered"
"""Hash: hour of the click id and who counted (`answered_field`) -> clicks that this process has answered in that hour,
all of them each time, so that saying it again does no harm. Copied to PostgreSQL."""

DEAD_CLICKS = "{rastro}:books:dead"
"""Hash: hour of the click id -> clicks that were set aside (dead letters) and not put back. Copied to PostgreSQL."""

RECEIVED = "{rastro}:books:received"
"""Hash: hour of the postback's id -> postbacks accepted by the commit script. Copied to PostgreSQL."""

DEAD_POSTBACKS = "{rastro}:books:dead-postbacks"
"""Hash: hour of the postback's id -> postbacks that were set aside and not put back. Copied to PostgreSQL."""

CAP_COUNTS = "{rastro}:caps"
"""Hash: id of a link with a click cap -> people whom it led to its destination, by the door's verdict. Seeded from
PostgreSQL when the link is published; survives a republish."""

COUNTED_TTL_S = 24 * 3600
"""How long a click that counted for a cap is remembered, so that it counts once however often it is sent."""

SNAPSHOTS_READY = "rastro:snapshots:ready"
"""Set last by a full republish; while it is missing an unknown slug is answered 503, never a wrong 404."""

SNAPSHOTS_RUN = "rastro:snapshots:run"
"""Token of the full republish that runs (SNAPSHOTS_RUN_TTL_S); gone when Redis was emptied meanwhile."""

SNAPSHOTS_RUN_TTL_S = 3600

_MOST_HOSTS = 12

SLOTS = 16384
"""Of a cluster, each of which is served by one of its servers."""

HOME = "{rastro}"
"""Its slot is where all names lie that are not spread."""

CHANGED = "rastro:changed"
"""Pub/sub channel: each message is the name of a snapshot key that was just written."""

DEFAULT_DOMAIN = "rastro:domain:*"
"""Snapshot of the default domain; `*` can not be a host name."""

SOURCES = "rastro:sources"
"""Snapshot of every source of conversions: they are few, and a wrong token is then known without asking Redis."""

LINKS, DOMAINS = "rastro:link:*", "rastro:domain:*"
"""Patterns of all snapshots of each kind, for a full republish."""

DEAD_TTL_MS = 7 * 24 * 3600 * 1000
"""Dead letters hold full addresses of visitors, so they are trimmed after seven days."""

HEARTBEAT_TTL_S = 30

STATS_TTL_S = 25 * 3600

DEPTHS = "{rastro}:depths"
"""Stream of samples of all queues, one every SAMPLE_EVERY_S: `QUEUE:depth` (waiting and running), `QUEUE:done` (in the
last whole minute), and `processes`."""

SAMPLE_EVERY_S = 15

SAMPLES_KEPT = 24 * 3600 // SAMPLE_EVERY_S

DEPTHS_OF_WEEK = "{rastro}:depths:week"
"""As DEPTHS, but one every WEEK_SAMPLE_EVERY_S, with the highest of what was sampled since the one before."""

WEEK_SAMPLE_EVERY_S = 300

WEEK_SAMPLES_KEPT = 7 * 24 * 3600 // WEEK_SAMPLE_EVERY_S

TRIAL_TTL_S = 3600

PAUSED = "{rastro}:paused"
"""Set of the names of paused queues: no worker begins anything of theirs."""

EVERYTHING = ("rastro:*", "{rastro}:*")
"""Patterns of every name of ours, for a restore into a Redis that held something else."""


def stream(queue: str) -> str:
    """Stream of a queue's entries. Its length is waiting + running: entries are deleted when acknowledged."""
    return f"{{rastro}}:q:{queue}"


def answered_field(hour: str, source: str) -> str:
    """A field of ANSWERED; `source` is one tracker process, for ever."""
    return f"{hour}:{source}"


def hour_answered(field: bytes) -> str:
    """The hour in a field of ANSWERED."""
    return field.partition(b":")[0].decode("ascii")


def field_of(queue: str) -> bytes:
    """The one field of a queue's entries: a click on `track`, a postback on `conversion`, a task message elsewhere."""
    return EVENT_FIELD if queue in ("track", "conversion") else TASK_FIELD


def later(queue: str) -> str:
    """Sorted set of messages of a queue that wait for their time: due in ms -> message."""
    return f"{{rastro}}:later:{queue}"


def dead(queue: str) -> str:
    """Stream of a queue's dead letters, trimmed to DEAD_TTL_MS."""
    return f"{{rastro}}:dead:{queue}"


def failures(queue: str) -> str:
    """Sorted set, all scores 0: "GROUP LETTER" for each dead letter of a queue, so that a group is a range of words."""
    return f"{{rastro}}:failures:{queue}"


def failure_groups(queue: str) -> str:
    """Sorted set: group of dead letters -> when its last letter was written, in ms since 1970."""
    return f"{{rastro}}:failures:{queue}:groups"


def failure_abouts(queue: str) -> str:
    """Hash: group of dead letters -> JSON of what they have in common: `reason`, `task`, `error`."""
    return f"{{rastro}}:failures:{queue}:abouts"


def failures_read(queue: str) -> str:
    """Id of the last dead letter that was put into `failures(queue)`."""
    return f"{{rastro}}:failures:{queue}:read"


def trials(queue: str) -> str:
    """Hash of dead letters that were retried to see whether they work now (TRIAL_TTL_S): `try:GROUP` -> entry and
    task's id, `of:ENTRY` -> group, and `failed:GROUP` -> the letter that came back."""
    return f"{{rastro}}:failures:{queue}:trials"


def suspects(queue: str) -> str:
    """Hash: entry id -> processes that died while they held that entry alone."""
    return f"{{rastro}}:suspects:{queue}"


def looked(queue: str) -> str:
    """A look for entries whose lease has ended found none, a moment ago."""
    return f"{{rastro}}:looked:{queue}"


def held(queue: str) -> str:
    """Stream of what waits while its queue is paused, out of sight of whoever reads the length of `stream(queue)`."""
    return f"{{rastro}}:held:{queue}"


def stats(minute: int) -> str:
    """Hash: what became of entries in one minute, counted from 1970 (STATS_TTL_S). Fields are `QUEUE:done`,
    `QUEUE:failed` (buried), `QUEUE:retried`, and `QUEUE:ms`, the time that calls took together."""
    return f"{{rastro}}:stats:{minute}"


def counted(click_id: bytes) -> str:
    """Set once a click has counted for its link's cap (COUNTED_TTL_S)."""
    return f"{{rastro}}:counted:{click_id.hex()}"


def signature(source_id: int, mac: bytes) -> str:
    """Set once a postback with this signature was taken, for twice the time that its time stamp may be off."""
    return f"{{rastro}}:signed:{source_id}:{mac.hex()}"


def worker(name: str) -> str:
    """Heartbeat of a consumer process (hash, HEARTBEAT_TTL_S): `host`, `pid`, `pool`, `lanes` (threads),
    `started_ms`, `seen_ms`, `rss_bytes`, `queues` (names that it takes from, parted by blanks), `done_a_minute`
    (entries, lately), and `running`, JSON: a list of {"queue", "task", "entries", "since_ms"}."""
    return f"{{rastro}}:worker:{name}"


def link(domain_id: int, slug_key: str) -> str:
    """Snapshot of the link that owns this slug of this domain."""
    return f"rastro:link:{domain_id}:{slug_key}"


def domain(host: str) -> str:
    """Snapshot of the domain that answers for this host (lower case, with its port where it has one)."""
    return f"rastro:domain:{host}"


SEEN_TTL_S = 30 * 24 * 3600
"""How long after the last visit a visitor counts as returning: a campaign lasts about as long, and who stays away for
longer is met like a new one."""


def seen(link_id: int, visitor: str) -> str:
    """That a visitor, known by a keyed hash alone, followed a link with a rule that asks for it (SEEN_TTL_S)."""
    return f"rastro:seen:{link_id}:{visitor}"


RATE_LIMITS = "{rastro}:limit"
"""Prefix of the counters of sign-in and API attempts; each lives as long as its window, a minute."""

API_RATE_TTL_S = 120

PASSWORD_TRIES_TTL_S = 120

FORM_DRAFT_TTL_S = 3600


def form_draft(person_id: int, token: str) -> str:
    """What a person typed into a form whose session had ended, until the form shows it again (FORM_DRAFT_TTL_S)."""
    return f"{{rastro}}:draft:{person_id}:{token}"


def api_rate(key_id: int, minute: int) -> str:
    """Requests of an API key in one minute, counted from 1970 (API_RATE_TTL_S)."""
    return f"{RATE_LIMITS}:api:{key_id}:{minute}"


def password_tries(link_id: int, minute: int, address: str = "") -> str:
    """Tries at a link's password in one minute, counted from 1970: of one visitor's address, or of all together
    (PASSWORD_TRIES_TTL_S)."""
    name = f"{{rastro}}:tries:{link_id}:{minute}"
    return f"{name}:{address}" if address else name


def slot_of(name: str) -> int:
    """The slot of a cluster in which a name lies: that of its first hash tag, if it has one."""
    _, brace, rest = name.partition("{")
    tag, closing, _ = rest.partition("}")
    return crc_hqx((tag if brace and closing and tag else name).encode("utf-8"), 0) % SLOTS


def home_of(slots: Sequence[Any], *, asked: str) -> tuple[str, int]:
    """Address of the server of our slot, from the answer of the server `asked` to CLUSTER SLOTS. Raises LookupError
    while nobody serves it."""
    home = slot_of(HOME)
    for first, last, (host, port, *_), *_ in slots:
        if first <= home <= last:
            return address_of(host, port, asked=asked)
    raise LookupError(f"nobody serves {HOME}")


def hosts_of(slots: Sequence[Any], *, asked: str, named: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Whom to ask the next time: those that the setting names, and some of those that serve, by that answer."""
    serving = [address_of(host, port, asked=asked) for _, _, (host, port, *_), *_ in slots]
    return list(dict.fromkeys([*named, *serving]))[: len(named) + _MOST_HOSTS]


def address_of(host: bytes | str | None, port: int, *, asked: str) -> tuple[str, int]:
    """A server's address in that answer: one that does not know its own leaves it out."""
    text = host.decode() if isinstance(host, bytes) else host
    return asked if not text or text == "?" else text, int(port)


def ready_in(slot: int) -> str:
    """As SNAPSHOTS_READY, for the snapshots in one slot of a cluster: a server that lost its own must not make their
    links unknown."""
    return f"{SNAPSHOTS_READY}:{{{_tags()[slot]}}}"


def run_in(slot: int) -> str:
    """As SNAPSHOTS_RUN, beside `ready_in`."""
    return f"{SNAPSHOTS_RUN}:{{{_tags()[slot]}}}"


@cache
def _tags() -> tuple[str, ...]:
    """A hash tag in each slot. Takes a tenth of a second, once, and only where there is a cluster."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < SLOTS:
        tag = str(number)
        found.setdefault(slot_of(tag), tag)
        number += 1
    return tuple(found[slot] for slot in range(SLOTS))


def link_of(name: bytes) -> tuple[int, str]:
    """Domain id and slug key of a link's snapshot, from its name."""
    _, _, domain_id, slug_key = name.decode("utf-8").split(":", 3)
    return int(domain_id), slug_key


def host_of(name: bytes) -> str:
    """Host of a domain's snapshot, from its name."""
    return name.decode("utf-8").split(":", 2)[2]
