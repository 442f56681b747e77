"""What travels from the tracker to the workers, and by which names: clicks, and postbacks.

Both go the same way (`event_log`, `event_stream`, `keeping`, `spool`), each into a stream, books, a spool and metrics
of its own.
"""

from dataclasses import dataclass

from prometheus_client import Counter

from core import observe
from core.contracts import keys
from core.observe import Tallies


@dataclass(frozen=True, slots=True)
class Channel:
    """`name` is what logs call its events; `stream` and `books` are names in Redis: where they are added, and where
    they are counted by the hour of their ids."""

    name: str
    stream: str
    books: str
    kept: Tallies
    replayed: Counter
    stranded: Counter


CLICKS = Channel(
    "clicks", keys.stream("track"), keys.ACCEPTED, observe.CLICKS, observe.REPLAYED, observe.STRANDED
)
POSTBACKS = Channel(
    "postbacks",
    keys.stream("conversion"),
    keys.RECEIVED,
    observe.POSTBACKS,
    observe.POSTBACKS_REPLAYED,
    observe.POSTBACKS_STRANDED,
)
