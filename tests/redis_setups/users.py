"""The users of docs/redis.md, with the rights that stand there."""

import re
from pathlib import Path

from tests.redis_setups.setups import Node

PASSWORD = "s3cret/+:"
_DOC = Path(__file__).resolve().parents[2] / "docs" / "redis.md"


def make_users(*nodes: Node) -> None:
    """Have each node know the three users."""
    lines = re.findall(r"^user (rastro-\w+) (.*)$", _DOC.read_text(encoding="utf-8"), re.M)
    assert [name for name, _ in lines] == ["rastro-tracker", "rastro-manager", "rastro-worker"]
    for node in nodes:
        for name, rules in lines:
            words = rules.replace(">PASSWORD", f">{PASSWORD}").split()
            node.client.execute_command("ACL SETUSER", name, "reset", *words)


def refused(*nodes: Node) -> list[dict[str, object]]:
    """What any user was refused."""
    return [entry for node in nodes for entry in node.client.acl_log()]
