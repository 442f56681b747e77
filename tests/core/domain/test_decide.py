"""What a link's state answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.contracts.link_snapshot import LinkSnapshot
from core.domain.decide import STEPS, Decision, decide

URL = "https://shop.example/a?b=%20c#d"


@pytest.mark.parametrize(
    ("link", "decision"),
    [
        (LinkSnapshot(link_id=7, url=URL), Decision(302, "redirect", URL)),
        (LinkSnapshot(link_id=7, url=URL, state="paused"), Decision(404, "paused")),
        (LinkSnapshot(link_id=7, url=URL, state="gone"), Decision(410, "gone")),
        (LinkSnapshot(link_id=7, url=URL, state="a state of a later release"), Decision(404, "paused")),
        (LinkSnapshot(), Decision(404, "unknown")),
        (LinkSnapshot(state="paused"), Decision(404, "unknown")),
    ],
)
def test_it_decides_by_state(link: LinkSnapshot, decision: Decision) -> None:
    assert decide(link) == decision


def test_it_walks_named_steps_in_order() -> None:
    assert [step.__name__ for step in STEPS] == ["known", "active", "rule", "variant"]


@given(st.builds(LinkSnapshot, link_id=st.integers(0, 9), state=st.text(max_size=8), url=st.text()))
def test_it_redirects_live_links_alone(link: LinkSnapshot) -> None:
    decision = decide(link)
    assert (decision.status == 302) == (link.link_id > 0 and link.state == "live")
    assert decision.url == (link.url if decision.status == 302 else "")
