"""Which variant of a weighted split a visitor is led to: the same one every time, without a cookie.

Weighted rendezvous hashing: each variant draws a number from the visitor, and the lowest by its weight wins. When a
weight changes, only visitors who go to the variant that grew, or leave the one that shrank, change sides.
"""

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from math import log
from operator import itemgetter
from typing import Generic, TypeVar

from core.contracts.link_snapshot import Variant

T = TypeVar("T")

_WHOLE = 2.0**64
_FARTHEST = 2.0**24
_HIGHEST = float("inf")
_number = int.from_bytes  # to look it up anew each time costs three times as much as to call it


class Split(Generic[T]):
    """Variants of a link, compiled, each with what it leads to. `key` is secret and lasts as long as the split: without
    it nobody can find a visitor's address again, and with it a visitor keeps the variant. Nothing that `choose`
    computes is to be kept. (BLAKE2 takes a key before its text as safely as HMAC does, in half the time.)"""

    def __init__(self, variants: Iterable[tuple[Variant, T]], *, link_id: int, key: bytes) -> None:
        self._keyed = blake2b(b"%b|%d|" % (key, link_id), digest_size=8).copy
        ends = ((end, _factor(variant.id), 1.0 / variant.weight) for variant, end in variants)
        # The heaviest first: the others seldom need a logarithm.
        self._ends = tuple(sorted(ends, key=itemgetter(2)))

    def choose(self, ip: str, user_agent: str) -> T:
        """What the variant of this visitor leads to. About 0.8 us, and 0.15 us more for each variant."""
        keyed = self._keyed()
        keyed.update(_agent(user_agent) + ip.encode())
        visitor = _number(keyed.digest(), "big") / _WHOLE
        best, lowest = self._ends[0][0], _HIGHEST
        for end, factor, share in self._ends:
            drawn = visitor * factor % 1.0
            # Where this is too much already, so is the score: -log(1 - drawn) is never less than drawn.
            if drawn * share < lowest:
                score = -log(1.0 - drawn) * share
                if score < lowest:
                    best, lowest = end, score
        return best


@lru_cache(maxsize=2048)
def _agent(user_agent: str) -> bytes:
    """Sixteen bytes in place of a text that is long and comes again and again. At most 8 MB of texts are remembered."""
    return blake2b(user_agent.encode(), digest_size=16).digest()


def _factor(variant_id: int) -> float:
    """What a variant multiplies visitors by, who are hashes from 0 to 1: large, and unlike any other variant's, so that
    what two products have beyond their whole numbers has nothing to do with each other. It leaves 28 bits of them."""
    name = blake2b(variant_id.to_bytes(8, "big"), digest_size=8).digest()
    return (1.0 + _number(name, "big") / _WHOLE) * _FARTHEST
