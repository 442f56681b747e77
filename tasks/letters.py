"""A dead letter: the entry as it was, and what a person needs to see why it died and to try it again."""

import hashlib
import re
import socket
import traceback
import uuid

import msgspec

from core.contracts import click_event, keys, postback_event
from core.contracts.task_message import TaskMessage
from tasks.streams import Lot

POISON, NEWER, UNKNOWN, FAILED, DEADLY = "poison", "newer", "unknown", "failed", "deadly"
"""Reasons: bytes that are no message; written by a newer release; no such task; error after its last attempt (a batch:
alone with its error); processes died of it. A batch handler adds its own, such as "clock"."""

_VARIES = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8}-[0-9a-f-]{27}|'[^'\\n]*'|\"[^\"\\n]*\"|\d+", re.IGNORECASE)
"""What differs in the messages of one and the same error: addresses, ids, quoted values, numbers."""

_LONGEST_ERROR, _LONGEST_TRACEBACK = 2_000, 20_000  # characters; the end of a traceback says most


def dead_letter(
    lot: Lot,
    place: int,
    *,
    reason: str,
    now_ms: int,
    error: BaseException | None = None,
    message: TaskMessage | None = None,
) -> dict[str, bytes | str | int]:
    """The fields of a dead letter for the entry at `place`. Times are ms since 1970; `deliveries` counts this one;
    letters of one `group` have the same reason, task and kind of error; `hour` is where the books
    count a click or a postback."""
    entry = lot.ids[place]
    payload = lot.payloads[place]
    letter: dict[str, bytes | str | int] = {
        keys.field_of(lot.queue).decode(): payload,
        "reason": reason,
        "entry": entry,
        "deliveries": lot.deliveries + 1,
        "taken_ms": int(entry.split(b"-")[0]),
        "dead_ms": now_ms,
        "host": socket.gethostname(),
        "consumer": lot.consumer,
        "group": _group(reason, message.task if message else "", error),
    }
    if error is not None:
        letter["error"] = f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]
        letter["traceback"] = "".join(traceback.format_exception(error))[-_LONGEST_TRACEBACK:]
    if message is not None:
        letter |= {
            "task": message.task,
            "task_id": message.id,
            "args": msgspec.json.encode(message.args),
            "attempts": message.attempts + (reason == FAILED),
            "enqueued_ms": message.enqueued_ms,
        }
    if lot.queue == "track" and place not in lot.malformed:
        letter |= _click(payload)
    if lot.queue == "conversion" and place not in lot.malformed:
        letter |= _postback(payload)
    return letter


def _group(reason: str, task: str, error: BaseException | None) -> str:
    first_line = str(error).strip().partition("\n")[0] if error is not None else ""
    kind = "" if error is None else type(error).__name__
    same = "\n".join((reason, task, kind, _VARIES.sub("#", first_line)))
    return hashlib.blake2b(same.encode("utf-8", "replace"), digest_size=6).hexdigest()


def _click(payload: bytes) -> dict[str, bytes | str | int]:
    """What a click's letter says beside its payload; nothing for bytes that are no click."""
    try:
        event = click_event.decode(payload)
        hour = click_event.hour_name(event.unix_ms)
    except (msgspec.DecodeError, ValueError, OverflowError):
        return {}
    return {"click": str(uuid.UUID(bytes=event.id)), "link": event.link_id, "hour": hour}


def _postback(payload: bytes) -> dict[str, bytes | str | int]:
    """As `_click`."""
    try:
        event = postback_event.decode(payload)
        hour = click_event.hour_name(click_event.unix_ms(event.id))
    except (msgspec.DecodeError, ValueError, OverflowError):
        return {}
    return {"postback": str(uuid.UUID(bytes=event.id)), "source": event.source_id, "hour": hour}
