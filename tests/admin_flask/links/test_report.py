"""A link's page and its report."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from core.db.models import Domain
from core.services import links as service
from core.services.actor import COMMAND
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MORNING, Clock
from tests.admin_flask.links.conftest import Click, MakeLink

Sit = Callable[..., Browser]


def chart_of(text: str) -> dict[str, Any]:
    """What the browser draws."""
    found = re.search(r"data-chart-data>(.*?)</script>", text)
    assert found
    chart: dict[str, Any] = json.loads(found[1])
    return chart


def figures_of(text: str) -> list[tuple[str, str]]:
    """The headline: number and what is said of it."""
    return [
        (value, re.sub(r"<[^>]+>", "", said).strip())
        for value, said in re.findall(r'<span class="v">([^<]+)</span><span class="d">(.*?)</span></a>', text)
    ]


def test_it_shows_the_link(sit_down: Sit, make_link: MakeLink) -> None:
    link = make_link("bf-tv", title="Smart TV 4K", url="https://loja.example/tv", tags=["whats"])
    page = sit_down("viewer").get(f"/links/{link.id}").text
    assert "<h1>Smart TV 4K</h1>" in page
    assert 'data-copy="https://aroeira.example/bf-tv"' in page
    assert 'href="https://loja.example/tv"' in page
    assert ">whats<" in page
    assert "Live" in page
    assert f"/links/{link.id}/edit" not in page


def test_it_waits_for_the_first_click(sit_down: Sit, make_link: MakeLink) -> None:
    link = make_link("bf-tv")
    page = sit_down("viewer").get(f"/links/{link.id}").text
    assert "No clicks yet" in page
    assert "Open the link once to see it arrive." in page
    assert "data-poll" in page
    assert "data-chart" not in page


def test_it_counts_people_and_robots_apart(sit_down: Sit, make_link: MakeLink, click: Click) -> None:
    link = make_link("bf-tv")
    click(link, *(MORNING - timedelta(minutes=n) for n in range(9)), referrer_host="wa.me")
    click(link, MORNING, MORNING, visitor=7, referrer_host="instagram.com", country="PT", device="desktop")
    click(link, MORNING, MORNING, MORNING, bot_reason="agent")
    click(link, MORNING, bot_reason="head", is_head=True)
    click(link, MORNING, MORNING, outcome="paused")
    click(link, *(MORNING - timedelta(days=7, minutes=n) for n in range(1, 6)))
    page = sit_down("viewer").get(f"/links/{link.id}?period=7d").text
    assert figures_of(page) == [("11", "+120% from 5"), ("10", "+100% from 5"), ("4", "new")]
    assert (
        "17 requests received: <b>11 counted</b>, 3 named robots, 1 link check, 2 that the link held back."
        in page
    )
    for label, value in (("wa.me", 9), ("instagram.com", 2), ("Brazil", 9), ("Portugal", 2), ("Mobile", 9)):
        assert re.search(rf'{label}</span><span class="v">{value}</span>', page), label


def test_it_says_why_each_click_was_kept(sit_down: Sit, make_link: MakeLink, click: Click) -> None:
    link = make_link("bf-tv")
    click(link, MORNING - timedelta(seconds=5), os="Android", browser="Chrome", referrer_host="wa.me")
    click(link, MORNING - timedelta(seconds=3), bot_reason="agent", device="", country="")
    click(link, MORNING - timedelta(seconds=2), bot_reason="empty_agent")
    click(link, MORNING - timedelta(seconds=1), outcome="gone")
    page = sit_down("support").get(f"/links/{link.id}").text
    rows = [
        re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", row))
        for row in re.split(r"<tr[^>]*>", page.split("rs-clicks")[1])[2:]
    ]
    assert [row.strip() for row in rows[:3]] == [
        "11:59:59 Kept the link was archived or deleted Brazil Mobile –",
        "11:59:58 Kept it did not say what it is Brazil Mobile –",
        "11:59:57 Kept a robot, by its own name – – –",
    ]
    assert (
        rows[3]
        .strip()
        .startswith("11:59:55 Counted first visit that day Brazil Mobile, Android, Chrome wa.me")
    )


def test_it_draws_no_half_hour_as_a_fall(
    sit_down: Sit, make_link: MakeLink, click: Click, clock: Clock
) -> None:
    clock.now = MORNING + timedelta(minutes=30)
    link = make_link("bf-tv")
    click(link, *(MORNING - timedelta(minutes=30, seconds=n) for n in range(20)))
    click(link, *(MORNING + timedelta(minutes=10, seconds=n) for n in range(10)))
    chart = chart_of(sit_down("viewer").get(f"/links/{link.id}?period=today").text)
    assert chart["now"][11:] == [20] + [None] * 12
    assert chart["open"] == {
        "at": 12,
        "value": 20,
        "name": "This hour at this pace",
        "soFar": 10,
        "soFarName": "This hour so far",
    }
    assert chart["nowAt"] == 12.5
    assert chart["nowLabel"] == "12:30"
    assert chart["before"] is None


def test_it_compares_a_part_with_the_same_part(sit_down: Sit, make_link: MakeLink, click: Click) -> None:
    link = make_link("bf-tv")
    click(link, MORNING - timedelta(hours=1))
    click(link, MORNING - timedelta(days=7, hours=1), MORNING - timedelta(days=7) + timedelta(hours=1))
    page = sit_down("viewer").get(f"/links/{link.id}?period=today").text
    assert figures_of(page)[0] == ("1", "0% from 1")
    assert chart_of(page)["before"][13] == 1
    assert "Friday 20 November" in page


@pytest.mark.parametrize(
    ("query", "points", "words"),
    [
        ("", 168, "21 to 27 Nov 2026"),
        ("period=nonsense", 168, "21 to 27 Nov 2026"),
        ("period=today", 24, "Friday 27 November"),
        ("period=7d&by=day", 7, "21 to 27 Nov 2026"),
        ("period=28d", 28, "31 Oct to 27 Nov 2026"),
        ("period=28d&by=hour", 28 * 24, "31 Oct to 27 Nov 2026"),
        ("period=28d&by=week", 28, "31 Oct to 27 Nov 2026"),
        ("period=dates&from=2026-11-24&to=2026-11-25", 48, "24 to 25 Nov 2026"),
        ("period=dates&from=2026-01-01&to=2026-06-30", 27, "1 Jan to 30 Jun 2026"),
        ("period=dates&from=2025-01-01&to=2026-06-30", 18, "1 Jan 2025 to 30 Jun 2026"),
        ("period=dates", 168, "21 to 27 Nov 2026"),
    ],
)
def test_it_shows_the_period_of_the_address(
    sit_down: Sit, make_link: MakeLink, click: Click, query: str, points: int, words: str
) -> None:
    link = make_link("bf-tv")
    click(link, MORNING)
    page = sit_down("viewer").get(f"/links/{link.id}?{query}").text
    assert words in page
    assert len(chart_of(page)["now"]) == points
    assert "UTC" in page


@pytest.mark.parametrize(
    ("dates", "words"),
    [
        ("from=2026-11-20&to=2026-11-10", "The last day lies before the first."),
        ("from=2026-11-20", "Choose both days."),
        ("from=x&to=2026-11-10", "Choose both days."),
        ("from=2001-01-01&to=2026-11-10", "At most five years"),
        ("from=0001-01-01&to=0001-01-02", "must lie between"),
        ("from=9999-12-31&to=9999-12-31", "Choose both days."),
    ],
)
def test_it_says_what_is_wrong_with_dates(
    sit_down: Sit, make_link: MakeLink, click: Click, dates: str, words: str
) -> None:
    link = make_link("bf-tv")
    click(link, MORNING)
    page = sit_down("viewer").get(f"/links/{link.id}?period=dates&{dates}")
    assert page.status_code == 200
    assert words in page.text


def test_it_cuts_days_in_the_zone_of_who_looks(
    sit_down: Sit, person: Callable[..., object], db: Session, make_link: MakeLink, click: Click
) -> None:
    user = person("viewer")
    user.time_zone = "America/Sao_Paulo"  # type: ignore[attr-defined]
    db.commit()
    link = make_link("bf-tv")
    click(link, datetime(2026, 11, 27, 2, 30, tzinfo=UTC))  # 23:30 of the day before in São Paulo
    page = sit_down(user=user).get(f"/links/{link.id}?period=7d&by=day").text
    assert "São Paulo time" in page
    assert chart_of(page)["now"] == [0, 0, 0, 0, 0, 1, None]


@pytest.mark.parametrize("show", ["clicks", "uniques", "bots"])
def test_it_draws_the_figure_that_was_chosen(
    sit_down: Sit, make_link: MakeLink, click: Click, show: str
) -> None:
    link = make_link("bf-tv")
    at = MORNING - timedelta(hours=2)
    click(link, at, at, at, visitor=7)
    click(link, at, at, bot_reason="agent")
    page = sit_down("viewer").get(f"/links/{link.id}?period=today&show={show}").text
    assert chart_of(page)["now"][10] == {"clicks": 3, "uniques": 1, "bots": 2}[show]


def test_it_breaks_down_by_what_was_chosen(sit_down: Sit, make_link: MakeLink, click: Click) -> None:
    link = make_link("bf-tv")
    click(link, MORNING, utm_source="newsletter", os="Android", browser="Chrome")
    browser = sit_down("viewer")
    page = browser.get(f"/links/{link.id}?source=utm&device=system").text
    assert "newsletter" in page
    assert "Android" in page
    assert "Chrome" in browser.get(f"/links/{link.id}?device=browser").text
    assert browser.get(f"/links/{link.id}?source=url&device=%27;drop").status_code == 200


def test_it_gives_htmx_the_report_alone(sit_down: Sit, make_link: MakeLink, click: Click) -> None:
    link = make_link("bf-tv")
    click(link, MORNING)
    part = sit_down("viewer").get(f"/links/{link.id}?period=28d", htmx=True)
    assert part.text.lstrip().startswith('<div id="report"')
    assert "<html" not in part.text
    assert "HX-Request" in part.headers["Vary"]


def test_it_asks_again_only_while_the_period_runs(sit_down: Sit, make_link: MakeLink, click: Click) -> None:
    link = make_link("bf-tv")
    click(link, MORNING)
    browser = sit_down("viewer")
    assert "data-poll" in browser.get(f"/links/{link.id}?period=today").text
    past = browser.get(f"/links/{link.id}?period=dates&from=2026-11-01&to=2026-11-02").text
    assert "data-poll" not in past


def test_it_answers_with_nothing_until_something_was_stored(
    sit_down: Sit, make_link: MakeLink, click: Click, clock: Clock
) -> None:
    link = make_link("bf-tv")
    browser = sit_down("viewer")

    def poll_of(text: str) -> str:
        found = re.search(r'data-poll hx-get="([^"]+)"', text)
        assert found
        return found[1].replace("&amp;", "&")

    poll = poll_of(browser.get(f"/links/{link.id}?period=today&device=system").text)
    clock.pass_by(timedelta(minutes=3))
    assert browser.get(poll, htmx=True).status_code == 204
    click(link, MORNING)
    came = browser.get(poll, htmx=True)
    assert came.status_code == 200
    assert figures_of(came.text)[0] == ("1", "new")
    assert f'href="/links/{link.id}?period=today&amp;device=browser"' in came.text
    assert browser.get(poll_of(came.text), htmx=True).status_code == 204
    clock.pass_by(timedelta(minutes=1))
    assert browser.get(poll_of(came.text), htmx=True).status_code == 200


def test_it_keeps_the_page_of_a_deleted_link(sit_down: Sit, db: Session, make_link: MakeLink) -> None:
    link = make_link("bf-tv", title="TV")
    service.delete_link(db, link_id=link.id, actor=COMMAND, now=MORNING)
    page = sit_down("marketer").get(f"/links/{link.id}")
    assert page.status_code == 200
    assert "This link answers “gone” to visitors." in page.text
    assert f"/links/{link.id}/restore" in page.text
    assert f"/links/{link.id}/edit" not in page.text


@pytest.mark.parametrize("path", ["/links/404", "/links/404/live", "/links/99999999999999999999", "/links/x"])
def test_it_knows_no_other_link(sit_down: Sit, domain: Domain, path: str) -> None:
    assert sit_down("viewer").get(path).status_code == 404


def test_it_answers_get_alone(sit_down: Sit, make_link: MakeLink) -> None:
    link = make_link("bf-tv")
    assert sit_down("admin").post(f"/links/{link.id}").status_code == 405


def test_it_asks_to_sign_in(browser: Browser, make_link: MakeLink) -> None:
    link = make_link("bf-tv")
    assert browser.get(f"/links/{link.id}").status_code == 303
    assert browser.get(f"/links/{link.id}/live").status_code == 303


@pytest.mark.parametrize(("role", "sees"), [("support", True), ("viewer", False)])
def test_it_shows_single_clicks_to_who_may_see_them(
    sit_down: Sit, make_link: MakeLink, click: Click, role: str, sees: bool
) -> None:
    link = make_link("bf-tv")
    click(link, MORNING - timedelta(hours=1))
    page = sit_down(role).get(f"/links/{link.id}").text
    assert ("Last clicks" in page) is sees
    assert ("first visit that day" in page) is sees


def test_a_report_that_is_only_open_keeps_no_session_alive(
    sit_down: Sit, make_link: MakeLink, clock: Clock
) -> None:
    link, browser = make_link("bf-tv"), sit_down("viewer")
    for _ in range(13):
        clock.pass_by(timedelta(hours=1))
        browser.get(f"/links/{link.id}/live", htmx=True)
    assert browser.get(f"/links/{link.id}").status_code == 303


def test_it_says_that_a_link_waits_or_is_over(sit_down: Sit, make_link: MakeLink) -> None:
    soon = make_link("soon", starts_at=MORNING + timedelta(hours=1))
    over = make_link("over", expires_at=MORNING)
    viewer = sit_down("viewer")
    for link, word in ((soon, "Scheduled"), (over, "Expired")):
        assert f"</svg>{word}</span>" in viewer.get(f"/links/{link.id}").text
        assert f"</svg>{word}</span>" in viewer.get("/links").text
