"""The sources of conversions, held whole: a wrong token is known to be wrong without asking Redis."""

from contextlib import suppress

from core.contracts import keys
from tracker_quart.snapshots import Entry, Snapshots, Unavailable
from tracker_quart.source_table import Table, table_of


class Sources:
    """`snapshots` holds their one snapshot and nothing else: fresh for a while, marked stale by announcements, and
    served as it is while Redis is away."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    def held(self) -> Table | None:
        """What may be used right now; None when Redis has to be asked first. Never waits."""
        entry = self._snapshots.held(keys.SOURCES)
        return None if entry is None else _table(entry)

    async def ask(self) -> Table:
        """What Redis says, or what is held when it does not say in time. Raises Unavailable."""
        return _table(await self._snapshots.ask(keys.SOURCES))

    async def refresh(self) -> None:
        """Ask Redis if it is time to: so that what is served when Redis goes away is no older than that. Never
        fails."""
        if self.held() is None:
            with suppress(Unavailable):  # whoever sends a postback is told
                await self.ask()


def _table(entry: Entry) -> Table:
    return table_of(entry.framed)
