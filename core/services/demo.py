"""Example links, clicks and sales, believable and made from `rng` alone; stored by the code that stores real ones."""

import bisect
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from redis import Redis
from sqlalchemy import Engine, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.contracts import keys
from core.contracts.click_event import PAUSED, REDIRECT, hour_name, unix_ms
from core.db.clicks import ClickStore, PreparedClick, store_batch
from core.db.engine import make_sessions
from core.db.models import Campaign, Link
from core.domain.agents import read_agent
from core.domain.bots import door_verdict
from core.domain.referrers import referrer_host
from core.domain.utm import read_utm
from core.services import demo_world as world
from core.services.actor import COMMAND
from core.services.demo_sales import id_at, make_sales
from core.services.demo_stories import Purchase
from core.services.links import SlugTaken, create_link, pause_link

BATCH = 5000
_PAUSED_EACH = 20
"""One link in so many was paused two days before the end."""

_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class DemoLink:
    """A link that was made, and what its visitors bring along."""

    id: int
    slug: str
    word: str
    channel: world.Channel
    query: str
    since_ms: int
    paused_ms: int | None


@dataclass(frozen=True, slots=True)
class _Visitor:
    """What visitors of one kind have in common; many visitors share it."""

    agent: str
    method: str
    country: str
    network: str


def make_demo(
    engine: Engine,
    redis: Redis,
    *,
    links: int,
    clicks: int,
    days: int,
    now: datetime,
    rng: random.Random,
    zone: ZoneInfo,
    report_currency: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[int]:
    """Add links (published), clicks of the last `days` days, and what some of them bought; the ids of the links.

    `zone` is the organisation's; `progress` is told how many of all clicks are stored. 100,000 clicks take about ten
    seconds. Raises what the services and the store raise; what is stored by then stays.
    """
    sessions = make_sessions(engine)
    with sessions() as session:
        made = _make_links(session, redis, number=links, days=days, now=now, rng=rng)
    if not made:
        return []
    store = ClickStore(engine, zone=zone, owner=f"demo-{rng.getrandbits(32):08x}", shards=1)
    done = 0
    stream = _clicks(made, number=clicks, days=days, now=now, rng=rng)
    dice = random.Random(rng.getrandbits(64))  # noqa: S311 (example data)
    words = {link.id: link.word for link in made}
    purchases: list[Purchase] = []
    while batch := list(itertools.islice(stream, BATCH)):
        _count_as_answered(redis, batch)
        store_batch(store, batch, now=now)
        purchases += [
            Purchase(click.id, words[click.link_id])
            for click in batch
            if not click.bot_reason and click.outcome == REDIRECT and dice.random() < world.BUYERS
        ]
        done += len(batch)
        progress(done, clicks)
    store.lease.release()
    make_sales(
        engine,
        redis,
        purchases,
        since=now - timedelta(days=days),
        now=now,
        rng=dice,
        report_currency=report_currency,
        coupon_link=next((link.slug for link in made if link.word == world.COUPON_OFFER), ""),
    )
    return [link.id for link in made]


def _make_links(
    session: Session, redis: Redis, *, number: int, days: int, now: datetime, rng: random.Random
) -> list[DemoLink]:
    campaigns = _campaigns(session)
    plan = _plan(number, rng)
    first = now - timedelta(days=days)
    ages = sorted(rng.random() ** 2 * days * 0.8 for _ in plan)  # most are there soon
    ages[:1] = [0.0] * len(ages[:1])  # and one from the beginning
    made = []
    for place, (offer, channel, serial) in enumerate(plan):
        since = first + timedelta(days=ages[place])
        link = _make_link(session, redis, offer, channel, serial, campaigns=campaigns, now=since, rng=rng)
        paused = None
        if place % _PAUSED_EACH == _PAUSED_EACH - 1:
            paused = max(now - timedelta(days=2), since)
            pause_link(session, link_id=link.id, actor=COMMAND, now=paused, redis=redis)
        utm = {
            "utm_source": channel.source,
            "utm_medium": channel.medium,
            "utm_campaign": offer.campaign.lower().replace(" ", "-"),
        }
        made.append(
            DemoLink(
                id=link.id,
                slug=link.slug,
                word=offer.word,
                channel=channel,
                query=urlencode(utm),
                since_ms=_ms(since),
                paused_ms=None if paused is None else _ms(paused),
            )
        )
    return made


def _make_link(
    session: Session,
    redis: Redis,
    offer: world.Offer,
    channel: world.Channel,
    serial: int,
    *,
    campaigns: dict[str, int],
    now: datetime,
    rng: random.Random,
) -> Link:
    number = f"-{serial + 1}" if serial else ""

    def create(slug: str) -> Link:
        return create_link(
            session,
            url=f"{world.SHOP}/{offer.word}{number}?canal={channel.slug}",
            slug=slug,
            title=f"{offer.title} – {channel.name}{f' {serial + 1}' if serial else ''}",
            campaign_id=campaigns[offer.campaign],
            tags=(channel.tag,),
            click_id_param=world.CLICK_ID_PARAM,
            actor=COMMAND,
            now=now,
            redis=redis,
            rng=rng,
        )

    try:
        return create(f"{offer.word}-{channel.slug}{number}")
    except SlugTaken:  # example data was made here before
        return create("")


def _campaigns(session: Session) -> dict[str, int]:
    names = sorted({offer.campaign for offer in world.OFFERS})
    session.execute(insert(Campaign).values([{"name": name} for name in names]).on_conflict_do_nothing())
    session.commit()
    found = session.execute(select(Campaign.name, Campaign.id).where(Campaign.name.in_(names)))
    return {row.name: row.id for row in found}


def _plan(number: int, rng: random.Random) -> list[tuple[world.Offer, world.Channel, int]]:
    """Offer, channel and serial number of each link; every pair comes once before any comes again."""
    pairs = [(offer, channel) for offer in world.OFFERS for channel in world.CHANNELS]
    plan = []
    for serial in range(-(-number // len(pairs))):
        rng.shuffle(pairs)
        plan += [(offer, channel, serial) for offer, channel in pairs]
    return plan[:number]


def _clicks(
    links: Sequence[DemoLink], *, number: int, days: int, now: datetime, rng: random.Random
) -> Iterator[PreparedClick]:
    """Clicks in the order of their time."""
    popular = list(links)
    rng.shuffle(popular)
    people = _people(rng, size=min(max(number // 20, 50), 4000))
    machines = _machines(rng)
    crowd = max(number // 2, 1)
    people_before: deque[tuple[DemoLink, int]] = deque(maxlen=40)
    robots = world.ROBOTS / (1 - world.AGAIN)
    for hour, in_hour in _rhythm(number, days=days, now=now, rng=rng):
        there = [link for link in popular if link.since_ms <= hour]
        weights = list(itertools.accumulate(1 / (rank + 1) for rank in range(len(there))))
        latest = min(hour + _HOUR_MS, _ms(now)) - 1
        for ms in sorted(rng.randint(hour, latest) for _ in range(in_hour)):
            if people_before and rng.random() < world.AGAIN:
                link, person = rng.choice(people_before)
                yield _click(link, people[person % len(people)], ms=ms, person=person, rng=rng)
                continue
            link = there[bisect.bisect(weights, rng.random() * weights[-1])]
            person = rng.randrange(crowd)
            if rng.random() < robots:
                yield _click(link, rng.choice(machines), ms=ms, person=person, rng=rng)
                continue
            people_before.append((link, person))
            yield _click(link, people[person % len(people)], ms=ms, person=person, rng=rng)


def _rhythm(number: int, *, days: int, now: datetime, rng: random.Random) -> list[tuple[int, int]]:
    """Hours (ms since 1970, in order) and how many clicks each has: by hour, weekday, and growth towards now."""
    zone = ZoneInfo(world.ZONE)
    last = _ms(now) - 1
    hours = list(range((last - days * 24 * _HOUR_MS) // _HOUR_MS * _HOUR_MS + _HOUR_MS, last + 1, _HOUR_MS))
    weights = []
    for place, hour in enumerate(hours):
        local = datetime.fromtimestamp(hour / 1000, zone)
        growth = 1 + (world.GROWTH - 1) * place / len(hours)
        whole = min(last + 1 - hour, _HOUR_MS) / _HOUR_MS
        weights.append(world.HOURS[local.hour] * world.WEEKDAYS[local.weekday()] * growth * whole)
    return sorted(Counter(rng.choices(hours, weights, k=number)).items())


def _people(rng: random.Random, *, size: int) -> list[_Visitor]:
    agents, weights = zip(*world.PEOPLE, strict=True)
    codes, shares = zip(*world.COUNTRIES, strict=True)
    chosen = zip(rng.choices(agents, weights, k=size), rng.choices(codes, shares, k=size), strict=True)
    return [_Visitor(agent, "GET", country, _network(rng)) for agent, country in chosen]


def _machines(rng: random.Random) -> list[_Visitor]:
    weights = [weight for _, _, weight in world.MACHINES]
    chosen = rng.choices(world.MACHINES, weights, k=200)
    homes = ("US", "US", "US", "IE", "BR")
    return [_Visitor(agent, method, rng.choice(homes), _network(rng)) for agent, method, _ in chosen]


def _network(rng: random.Random) -> str:
    """From the ranges that are kept for documentation, so that it is nobody's."""
    return rng.choice(("192.0.2.0", "198.51.100.0", "203.0.113.0"))


def _click(link: DemoLink, visitor: _Visitor, *, ms: int, person: int, rng: random.Random) -> PreparedClick:
    agent = read_agent(visitor.agent)
    reason = door_verdict(method=visitor.method, user_agent=visitor.agent, purpose="")
    query = link.query if rng.random() < link.channel.tagged_share else ""
    utm = read_utm(query)
    referrer = "" if reason else _referrer(link.channel, rng)
    return PreparedClick(
        id=id_at(ms, rng),
        link_id=link.id,
        outcome=PAUSED if link.paused_ms is not None and ms >= link.paused_ms else REDIRECT,
        bot_reason=reason,
        door_bot=reason,
        is_head=visitor.method == "HEAD",
        visitor=person + 1,
        ip=visitor.network,
        query=query,
        user_agent=visitor.agent,
        browser=agent.browser,
        os=agent.os,
        device=agent.device,
        language="" if reason else world.LANGUAGES.get(visitor.country, "pt-BR"),
        country=visitor.country,
        referrer_host=referrer_host(referrer, own_host=""),
        referrer=referrer,
        utm_source=utm.source,
        utm_medium=utm.medium,
        utm_campaign=utm.campaign,
    )


def _referrer(channel: world.Channel, rng: random.Random) -> str:
    if rng.random() < world.PASSED_ON:
        return rng.choices(world.ELSEWHERE, weights=range(len(world.ELSEWHERE), 0, -1))[0]
    return rng.choice(channel.referrers)


def _count_as_answered(redis: Redis, clicks: Sequence[PreparedClick]) -> None:
    """What the tracker and its commit script do for real clicks: without it the books would not balance."""
    pipeline = redis.pipeline(transaction=False)
    for hour, number in Counter(hour_name(unix_ms(click.id)) for click in clicks).items():
        pipeline.hincrby(keys.ACCEPTED, hour, number)
        pipeline.hincrby(keys.ANSWERED, keys.answered_field(hour, "demo"), number)
    pipeline.execute()


def _ms(instant: datetime) -> int:
    return int(instant.astimezone(UTC).timestamp() * 1000)
