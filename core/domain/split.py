"""Which variant of a weighted split a visitor is led to: the same one every time, without a cookie.

Weighted rendezvous hashing: each variant draws a number from the visitor, and the lowest by its weight wins. When a
weight changes, only visitors who go to the variant that grew, or leave the one that shrank, change sides.
"""

from collections.abc import Sequence
from hashlib import blake2b
from math import log

from core.contracts.link_snapshot import Variant

_BITS = (1 << 64) - 1
_WHOLE = 2.0**64


class Split:
    """Variants of a link, compiled. `key` (at most 64 bytes) lasts as long as the split: without it nobody can find a
    visitor's address again, and with it a visitor keeps the variant. Nothing that `choose` computes is to be kept."""

    def __init__(self, variants: Sequence[Variant], *, link_id: int, key: bytes) -> None:
        self._keyed = blake2b(b"%d|" % link_id, digest_size=8, key=key)
        self._variants = tuple((variant, _factor(variant.id), 1.0 / variant.weight) for variant in variants)

    def choose(self, *, ip: str, user_agent: str) -> Variant:
        """The variant of this visitor. About 1 us, and 0.25 us more for each variant."""
        keyed = self._keyed.copy()
        keyed.update(f"{ip}|{user_agent}".encode("utf-8", "replace"))
        visitor = int.from_bytes(keyed.digest(), "big")
        best, lowest = self._variants[0][0], float("inf")
        for variant, factor, share in self._variants:
            score = -log(((visitor * factor & _BITS) + 0.5) / _WHOLE) * share
            if score < lowest:
                best, lowest = variant, score
        return best


def _factor(variant_id: int) -> int:
    """What a variant multiplies visitors by: an odd number, as no other variant's. Visitors are hashes, so that the
    products of two variants have nothing to do with each other (multiply-shift hashing)."""
    name = variant_id.to_bytes(8, "big")
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "big") | 1
