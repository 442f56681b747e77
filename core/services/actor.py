"""Who does something: a signed-in person, an API key, or a command on the server."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Actor:
    """Written beside every change. `str()` of it is "user:7", "key:3" or "command"."""

    kind: Literal["user", "key", "command"]
    id: int | None = None
    name: str = ""
    role: str = ""
    ip: str | None = None

    def __str__(self) -> str:
        return self.kind if self.id is None else f"{self.kind}:{self.id}"


COMMAND = Actor(kind="command", name="command", role="admin")
"""Whoever types commands on the server may do everything."""
