"""What a visit has come to: its answer, or what Redis has to be asked for first."""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from core.contracts.click_event import REDIRECT
from core.contracts.domain_snapshot import DomainSnapshot
from tracker_quart.answers import Answer
from tracker_quart.cap_stream import CappedClick
from tracker_quart.compiled import Compiled
from tracker_quart.event_stream import Event
from tracker_quart.snapshots import Entry


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """An answer and its outcome. It may leave once `click`, where there is one, is kept; `kept` is the id of a click
    that already is."""

    answer: Answer
    click: Event | None = None
    outcome: str = REDIRECT
    kept: bytes = b""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A snapshot is not at hand: ask for `key`, and go on with `then`. `domain` is known by then, or None."""

    key: str
    then: Callable[[Entry], "Step"]
    domain: DomainSnapshot | None = None


@dataclass(frozen=True, slots=True)
class Unsure:
    """A rule wants to know whether the visitor was here before: ask for `name`, and go on with `then`."""

    name: str
    then: Callable[[bool], "Step"]


@dataclass(frozen=True, slots=True)
class Counted:
    """The answer hangs on a count: `click` has to be submitted, and `then` is told whether it leads on."""

    click: CappedClick
    then: Callable[[bool], Prepared]


Step = Prepared | Wanted | Unsure | Counted


@dataclass(frozen=True, slots=True)
class Found:
    """A link that was asked for, and the domain that it was asked for at."""

    domain: DomainSnapshot
    compiled: Compiled
