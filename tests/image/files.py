"""`compose.yaml` and `Dockerfile`, read as far as the tests look at them."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]


def services() -> dict[str, dict[str, Any]]:
    """The services of `compose.yaml`, what they share filled in."""
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def compose() -> dict[str, Any]:
    """All of `compose.yaml`."""
    found: dict[str, Any] = yaml.load((ROOT / "compose.yaml").read_text(encoding="utf-8"), Loader=_Texts)
    return found


class _Texts(yaml.SafeLoader):
    """Numbers stay the texts that they are in the file: a port is no sum."""


_Texts.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if not tag.endswith((":int", ":float"))]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def instructions() -> list[tuple[str, str]]:
    """Each line of the `Dockerfile` as its word and the rest; continued lines are one."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined)]


def final_stage() -> list[tuple[str, str]]:
    """The instructions that make the image itself, FROM included."""
    found = instructions()
    last = max(number for number, (word, _) in enumerate(found) if word == "FROM")
    return found[last:]
