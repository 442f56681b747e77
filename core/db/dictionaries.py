"""Text that many clicks share, as ids: found in this process, in the table, or added to it."""

import sys
from collections.abc import Sequence

from sqlalchemy import Engine

from core.db.queries import query
from core.db.texts import storable
from core.db.tracking import DICTIONARIES

MOST_HELD = 8_000_000
"""Bytes of memory that the texts of one thread may take (twice that for a moment): some 20,000 long agents."""

_ENTRY = 200
"""Bytes that a text costs beside its own: key, id, places in tables."""

LONGEST = 200
_LONGER = {"user_agent": 512, "referrer": 1024, "referrer_host": 253}

Key = tuple[int, str]


class DictionaryIds:
    """Ids of texts, kept in memory for the texts that were used last. For one thread alone."""

    def __init__(self, engine: Engine, *, most_held: int = MOST_HELD) -> None:
        self._engine = engine
        self._most_held = most_held
        self._young: dict[Key, int] = {}
        self._old: dict[Key, int] = {}
        self._held = 0

    def ids_of(self, kind: str, texts: Sequence[str]) -> list[int]:
        """The id of each text, in order; 0 for "". Unknown texts are added first.

        They are added in short transactions of their own, in the order of their unique key, so that workers never wait
        for one another in a circle; an id that nobody uses in the end does no harm.
        """
        number, longest = DICTIONARIES[kind], _LONGER.get(kind, LONGEST)
        keys = {text: (number, text[:longest]) for text in set(texts)}
        known = self._recall(set(keys.values()))
        ids = {text: known[key] for text, key in keys.items()}
        return [ids[text] for text in texts]

    def _recall(self, keys: set[Key]) -> dict[Key, int]:
        known: dict[Key, int] = {}
        missing: list[Key] = []
        for key in keys:
            found = self._young.get(key)
            if found is None:
                found = self._old.get(key) if key[1] else 0
                if found is None:
                    missing.append(key)
                    continue
                self._hold(key, found)
            known[key] = found
        if missing:
            for key, found in self._fetch(missing).items():
                known[key] = found
                self._hold(key, found)
        return known

    def _hold(self, key: Key, found: int) -> None:
        self._young[key] = found
        self._held += sys.getsizeof(key[1]) + _ENTRY
        if self._held > self._most_held:
            self._old, self._young, self._held = self._young, {}, 0

    def _fetch(self, keys: list[Key]) -> dict[Key, int]:
        stored = {key: (key[0], storable(key[1], len(key[1]))) for key in keys}
        wanted = set(stored.values())
        found = self._select(wanted)
        while wanted - found.keys():  # a second turn only when another worker added the same text meanwhile
            found.update(self._insert(wanted - found.keys()))
            if wanted - found.keys():
                found.update(self._select(wanted - found.keys()))
        return {key: found[text] for key, text in stored.items()}

    def _select(self, keys: set[Key]) -> dict[Key, int]:
        return self._run("find_texts", keys)

    def _insert(self, keys: set[Key]) -> dict[Key, int]:
        return self._run("add_texts", keys)

    def _run(self, name: str, keys: set[Key]) -> dict[Key, int]:
        values = {"kinds": [kind for kind, _ in keys], "values": [value for _, value in keys]}
        with self._engine.begin() as connection:
            return {(row.kind, row.value): row.id for row in connection.execute(query(name), values)}
