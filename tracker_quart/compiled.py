"""Links as redirects use them: decoded, their rules compiled, and the answer at hand where everybody gets the same."""

from functools import lru_cache
from operator import attrgetter

import msgspec

from core.contracts import link_snapshot
from core.contracts.link_snapshot import LinkSnapshot
from core.contracts.snapshot import revision_of
from core.domain.decide import STEPS, Step, opened, steps_of
from core.domain.destination import is_plain
from core.domain.targeting import Plan, plan_of
from tracker_quart.answers import Answer, head_of, redirect_to

_DECODED = 16_384

_HARMLESS = frozenset(
    {
        "link_id",
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

_DECIDING = {
    field.name: field.default for field in msgspec.structs.fields(LinkSnapshot) if field.name not in _HARMLESS
}
_deciding_of = attrgetter(*_DECIDING)
_NOTHING_SET = tuple(_DECIDING.values())


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
    if link.link_id and _deciding_of(link) == _NOTHING_SET:  # as nearly all
        answer = fixed_redirect(link.url, link.status, link.no_referrer)
        return Compiled(link, revision_of(framed), (), None, answer)
    return Compiled(link, revision_of(framed), steps_of(link), plan_of(link), None)


@lru_cache(maxsize=4096)
def fixed_redirect(url: str, status: int, no_referrer: bool) -> Answer | None:
    """The redirect to a destination that is the same for every visitor without a query; None for one that is not. It
    comes with its head: many visitors are led there."""
    if not is_plain(url):
        return None
    answer = redirect_to(url, status, no_referrer)
    return msgspec.structs.replace(answer, head=head_of(answer))


def without_password(compiled: Compiled) -> Compiled:
    """The link as it is for a visitor who has given its password. The same revision: it is the same link."""
    link = opened(compiled.link)
    return Compiled(link, compiled.revision, steps_of(link), compiled.plan, None)


# The few that everybody visits stay decoded: their bytes are the entry's, whose hash Python keeps.
compiled_of = lru_cache(maxsize=_DECODED)(compile_link)
NOBODYS = Compiled(LinkSnapshot(), 0, STEPS, None, None)
