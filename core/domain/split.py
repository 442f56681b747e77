"""Which variant of a weighted split a visitor is led to: the same one every time, without a cookie.

Weighted rendezvous hashing: each variant draws a number from the visitor, and the lowest by its weight wins. When a
weight changes, only visitors who go to the variant that grew, or leave the one that shrank, change sides.
"""

from collections.abc import Sequence
from hashlib import blake2b
from math import log

from core.contracts.link_snapshot import Variant

_STEPS = 2.0**53
_BITS = (1 << 64) - 1


class Split:
    """Variants of a link, compiled. `key` (at most 64 bytes) lasts as long as the split: without it nobody can find a
    visitor's address again, and with it a visitor keeps the variant. Nothing that `choose` computes is to be kept."""

    def __init__(self, variants: Sequence[Variant], *, link_id: int, key: bytes) -> None:
        self._keyed = blake2b(b"%d|" % link_id, digest_size=8, key=key)
        self._variants = tuple(
            (variant, _hashed(variant.id.to_bytes(8, "big")), 1.0 / variant.weight) for variant in variants
        )

    def choose(self, *, ip: str, user_agent: str) -> Variant:
        """The variant of this visitor. About 1 us, and 0.4 us more for each variant."""
        keyed = self._keyed.copy()
        keyed.update(f"{ip}|{user_agent}".encode("utf-8", "replace"))
        visitor = int.from_bytes(keyed.digest(), "big")
        best, lowest = self._variants[0][0], float("inf")
        for variant, number, share in self._variants:
            # The finalizer of SplitMix64 (Steele, Lea, Flood 2014): each bit turns half of the result's.
            drawn = visitor ^ number
            drawn = (drawn ^ drawn >> 30) * 0xBF58476D1CE4E5B9 & _BITS
            drawn = (drawn ^ drawn >> 27) * 0x94D049BB133111EB & _BITS
            score = -log((((drawn ^ drawn >> 31) >> 11) + 0.5) / _STEPS) * share
            if score < lowest:
                best, lowest = variant, score
        return best


def _hashed(name: bytes) -> int:
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "big")
