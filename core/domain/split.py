"""Which variant of a weighted split a visitor is led to: the same one every time, without a cookie.

Weighted rendezvous hashing: each variant draws a number from the visitor, and the lowest by its weight wins. When a
weight changes, only visitors who go to the variant that grew, or leave the one that shrank, change sides.
"""

from collections.abc import Sequence
from hashlib import blake2b
from math import log

from core.contracts.link_snapshot import Variant

_STEPS = 2.0**53


class Split:
    """Variants, compiled. `key` (at most 64 bytes) lasts as long as the split: without it nobody can find a visitor's
    address again, and with it a visitor keeps the variant. Nothing that `choose` computes is to be kept."""

    def __init__(self, variants: Sequence[Variant], *, key: bytes) -> None:
        self._keyed = blake2b(digest_size=16, key=key)
        self._variants = tuple(
            (variant, variant.id.to_bytes(8, "big"), 1.0 / variant.weight) for variant in variants
        )

    def choose(self, *, link_id: int, ip: str, user_agent: str) -> Variant:
        """The variant of this visitor. About 1 us, and 0.6 us more for each variant."""
        keyed = self._keyed.copy()
        keyed.update(f"{link_id}|{ip}|{user_agent}".encode("utf-8", "replace"))
        visitor = keyed.digest()
        best, lowest = self._variants[0][0], float("inf")
        for variant, name, share in self._variants:
            drawn = int.from_bytes(blake2b(visitor + name, digest_size=8).digest(), "big")
            score = -log(((drawn >> 11) + 0.5) / _STEPS) * share
            if score < lowest:
                best, lowest = variant, score
        return best
