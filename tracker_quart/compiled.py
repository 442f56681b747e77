"""Links as redirects use them: decoded, their rules compiled, and the answer at hand where everybody gets the same."""

from functools import lru_cache

import msgspec

from core.contracts import link_snapshot
from core.contracts.link_snapshot import LIVE, LinkSnapshot
from core.contracts.snapshot import revision_of
from core.domain.decide import STEPS, Step, opened, steps_of
from core.domain.destination import is_plain
from core.domain.targeting import Plan, plan_of
from tracker_quart.answers import Answer, lasting_redirect

_DECODED = 4096

_SAME_FOR_ALL = frozenset(
    {
        "link_id",
        "state",
        "url",
        "fallback_url",
        "status",
        "no_referrer",
        "pass_query",
        "split_key",
        "campaign_id",
        "campaign",
        "schema",
    }
)
"""Fields that let nobody be led elsewhere. A link that sets any other goes through the steps of `decide`: a field of a
later release as well, which is why those that do no harm are named, and not those that do."""

_NOTHING_SET = {
    field.name: field.default
    for field in msgspec.structs.fields(LinkSnapshot)
    if field.name not in _SAME_FOR_ALL
}


class Compiled(msgspec.Struct, frozen=True, gc=False):
    """A link. `plan` is None without rules and split; `steps` are those that can decide about it; `answer` is what each
    visitor without a query gets, None where that has to be decided."""

    link: LinkSnapshot
    revision: int
    steps: tuple[Step, ...]
    plan: Plan | None
    answer: Answer | None


def compile_link(framed: bytes) -> Compiled:
    """Decode and compile a snapshot. Raises what its codec raises."""
    link = link_snapshot.decode(framed)
    answer = None
    if link.state == LIVE and is_plain(link.url) and leads_everybody_alike(link):
        answer = lasting_redirect(link.url, link.status, link.no_referrer)
    return Compiled(link, revision_of(framed), steps_of(link), plan_of(link), answer)


def without_password(compiled: Compiled) -> Compiled:
    """The link as it is for a visitor who has given its password. The same revision: it is the same link."""
    link = opened(compiled.link)
    return Compiled(link, compiled.revision, steps_of(link), compiled.plan, None)


def leads_everybody_alike(link: LinkSnapshot) -> bool:
    """True for a link whose answer depends on nothing but its state and its destination."""
    return not link.is_tombstone and all(
        getattr(link, name) == default for name, default in _NOTHING_SET.items()
    )


# The few that everybody visits stay decoded: their bytes are the entry's, whose hash Python keeps.
compiled_of = lru_cache(maxsize=_DECODED)(compile_link)
NOBODYS = Compiled(LinkSnapshot(), 0, STEPS, None, None)
