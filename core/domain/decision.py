"""What a visitor of a short link is answered, and why."""

import msgspec

UNKNOWN = "unknown"
"""Outcome of a slug that nobody owns: answered 404, counted, but no click of any link."""

FOUND = 302


class Decision(msgspec.Struct, frozen=True, gc=False):
    """The answer's status and why. `url` is set for a redirect; `outcome` is one of click_event.OUTCOMES or UNKNOWN;
    `rule` and `variant` are the ids of what chose the destination, 0 for none. A redirect to a fallback keeps the
    outcome that led to it: it is not counted as a click. With `if_capped` the answer hangs on a count that is kept
    elsewhere: that is answered instead once as many people as the link's cap were led."""

    status: int
    outcome: str
    url: str = ""
    rule: int = 0
    variant: int = 0
    if_capped: "Decision | None" = None
