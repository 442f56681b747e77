"""How many people count for a link's click cap, by what is stored."""

from collections.abc import Mapping

from sqlalchemy import Connection

from core.db.queries import query


def count_people(connection: Connection, caps: Mapping[int, int]) -> dict[int, int]:
    """For each link of `caps` (id -> cap), the stored clicks of people who were led to its destination: people by the
    verdict at the door. Beyond the cap the count may be too low, never below the cap."""
    values = {"link_ids": list(caps), "caps": list(caps.values())}
    return {row.link_id: int(row.people) for row in connection.execute(query("cap_people"), values)}
