"""How passwords are hashed, people's and links'."""

from functools import cache

from argon2 import PasswordHasher


@cache
def hasher() -> PasswordHasher:
    """argon2id in OWASP's small setting: several checks at once must fit into a small pod's memory."""
    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
