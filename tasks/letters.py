"""A dead letter: the entry as it was, and what a person needs to see why it died and to try it again."""

import socket
import traceback

import msgspec

from core.contracts.task_message import TaskMessage
from tasks.streams import Lot, field_of

POISON, NEWER, UNKNOWN, FAILED, DEADLY = "poison", "newer", "unknown", "failed", "deadly"
"""Reasons: bytes that are no message; written by a newer release; no such task; error after its last attempt (a batch:
alone with its error); processes died of it. A batch handler adds its own, such as "clock"."""

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
    """The fields of a dead letter for the entry at `place`. Times are ms since 1970; `deliveries` counts this one."""
    entry = lot.ids[place]
    payload = lot.payloads[place]
    letter: dict[str, bytes | str | int] = {
        field_of(lot.queue).decode(): payload,
        "reason": reason,
        "entry": entry,
        "deliveries": lot.deliveries + 1,
        "taken_ms": int(entry.split(b"-")[0]),
        "dead_ms": now_ms,
        "host": socket.gethostname(),
        "consumer": lot.consumer,
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
    return letter
