"""`compose.yaml` and `Dockerfile`, read as far as the tests look at them."""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def services() -> dict[str, dict[str, Any]]:
    """The services of `compose.yaml`, what they share filled in."""
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def compose() -> dict[str, Any]:
    """All of `compose.yaml`."""
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return _mapping(lines, 0, {})


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


def _mapping(lines: list[str], indent: int, anchors: dict[str, Any]) -> dict[str, Any]:
    """The part of YAML that the file is written in: block mappings and lists, flow lists, anchors and merges.

    Takes from the front of `lines` what belongs to it. Scalars stay text, but for true and false.
    """
    own: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    while lines and _indent(lines[0]) == indent:
        key, colon, rest = lines.pop(0).strip().partition(":")
        assert colon, f"not a part of YAML that is read here: {key}"
        name = re.match(r" &([\w-]+)$", rest)
        value = _block(lines, indent, anchors) if name or not rest else _scalar(rest.strip(), anchors)
        if name:
            anchors[name[1]] = value
        if key == "<<":
            for part in reversed(value if isinstance(value, list) else [value]):
                merged |= part
        else:
            own[key] = value
    return merged | own


def _block(lines: list[str], indent: int, anchors: dict[str, Any]) -> Any:
    if not lines or _indent(lines[0]) <= indent:
        return None
    inner = _indent(lines[0])
    if not lines[0].lstrip().startswith("- "):
        return _mapping(lines, inner, anchors)
    items = []
    while lines and _indent(lines[0]) == inner:
        items.append(_scalar(lines.pop(0).strip().removeprefix("- "), anchors))
    return items


def _scalar(text: str, anchors: dict[str, Any]) -> Any:
    if text.startswith("["):
        return [_scalar(part, anchors) for part in text[1:-1].split(", ")]
    if text.startswith("*"):
        return anchors[text[1:]]
    return json.loads(text) if text.startswith('"') or text in ("true", "false") else text


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
