"""Toasts: one line at the bottom that says what was done, with Undo where it can be undone."""

from dataclasses import dataclass
from typing import Any, cast

from flask import flash, get_flashed_messages


@dataclass(frozen=True, slots=True)
class Toast:
    """What was done. `undo` is a path that is POSTed to, with `fields`, when the person takes it back."""

    text: str
    tone: str = "ok"
    undo: str | None = None
    fields: tuple[tuple[str, str], ...] = ()


def say(
    text: str, *, tone: str = "ok", undo: str | None = None, fields: dict[str, str] | None = None
) -> None:
    """Show `text` with the next page or fragment. `tone` is "ok" or "bad"."""
    flash({"text": text, "undo": undo, "fields": list((fields or {}).items())}, tone)  # type: ignore[arg-type]


def waiting_toasts() -> list[Toast]:
    """Toasts to be shown now; asking takes them out of the session, asking again in one request gives the same."""
    found = cast(list[tuple[str, Any]], get_flashed_messages(with_categories=True))
    return [_read(tone, value) for tone, value in found]


def _read(tone: str, value: Any) -> Toast:
    if not isinstance(value, dict):
        return Toast(text=str(value), tone="bad" if tone in ("bad", "error") else "ok")
    fields = tuple((str(name), str(text)) for name, text in value["fields"])
    return Toast(text=value["text"], tone=tone, undo=value["undo"], fields=fields)
