"""The counts behind click caps. Redis holds them, where trackers count; they begin with what PostgreSQL has stored.

A cap counts every person whom the link led to its destination since it was made, also before it had a cap. A person is
who is none of the robots that the tracker knows at the door.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import cast

from redis import Redis, RedisError
from sqlalchemy import Connection, select
from sqlalchemy.orm import Session

from core.contracts import keys
from core.db.caps import count_people
from core.db.models import Link


def seed_counts(connection: Connection, redis: Redis, caps: Mapping[int, int | None]) -> None:
    """Raise the counts of those links that have a cap (`caps`: link id -> cap) to what is stored. Never lowers one.

    Clicks that wait in the stream are stored later: where a cap is set on a link that is being clicked, those may be
    missing until the link is published again. Raises RedisError.
    """
    capped = {link_id: cap for link_id, cap in caps.items() if cap is not None}
    if not capped:
        return
    pairs = count_people(connection, capped).items()
    arguments = [number for pair in pairs for number in pair]
    redis.register_script(_script())(keys=[keys.CAP_COUNTS], args=arguments)


def people_counted(session: Session, redis: Redis, link: Link) -> int | None:
    """How many people count for the link's cap, None where it has none. What is stored, when Redis does not say."""
    if link.click_cap is None:
        return None
    try:
        held = cast(bytes | None, redis.hget(keys.CAP_COUNTS, str(link.id)))
    except RedisError:
        held = None
    if held is not None:
        return int(held)
    return count_people(session.connection(), {link.id: link.click_cap})[link.id]


def forget_strangers(connection: Connection, redis: Redis) -> None:
    """Drop the counts of links that do not exist: after PostgreSQL was restored from a backup, a new link may get the
    id of one that was made since. Raises RedisError."""
    counted = {int(name) for name in cast(list[bytes], redis.hkeys(keys.CAP_COUNTS))}
    if not counted:
        return
    strangers = counted - set(connection.scalars(select(Link.id).where(Link.id.in_(counted))))
    if strangers:
        redis.hdel(keys.CAP_COUNTS, *map(str, strangers))


@cache
def _script() -> str:
    return files("core.contracts").joinpath("seed_counts.lua").read_text(encoding="utf-8")
