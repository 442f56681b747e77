"""Clicks as trackers send them: 2,000 links by Zipf, one in eight a robot, every header filled in."""

import bisect
import itertools
import random
from collections.abc import Iterator

from core.contracts.click_event import ClickEvent, encode
from core.domain.bots import door_verdict
from core.services import demo_world as world

_LANGUAGES = ("pt-BR,pt;q=0.9,en;q=0.8", "pt-BR", "pt-PT,pt;q=0.9", "en-US,en;q=0.9", "es-AR,es;q=0.9")


def click_payloads(
    rng: random.Random, *, number: int, links: int, start_ms: int, per_second: int
) -> Iterator[bytes]:
    """Encoded clicks, `per_second` of them in each second from `start_ms`."""
    weights = list(itertools.accumulate(1 / (rank + 1) for rank in range(links)))
    agents, shares = zip(*world.PEOPLE, strict=True)
    shares = list(itertools.accumulate(shares))
    for place in range(number):
        link = bisect.bisect(weights, rng.random() * weights[-1]) + 1
        channel = world.CHANNELS[link % len(world.CHANNELS)]
        if rng.random() < world.ROBOTS:
            agent, method, _ = rng.choice(world.MACHINES)
        else:
            # Real agents are far more than the demo's few: a build number makes 50 of each.
            agent = f"{agents[bisect.bisect(shares, rng.random() * shares[-1])]} Build/{rng.randrange(50)}"
            method = "GET"
        utm = f"utm_source={channel.source}&utm_medium={channel.medium}"
        utm += f"&utm_campaign=c{link % 40}&utm_content=v{link % 3}"
        ms = start_ms + place * 1000 // per_second
        identity = ms << 80 | 7 << 76 | rng.getrandbits(12) << 64 | 2 << 62 | rng.getrandbits(62)
        event = ClickEvent(
            id=identity.to_bytes(16, "big"),
            link_id=link,
            revision=1,
            door_bot=door_verdict(method=method, user_agent=agent, purpose=""),
            method=method,
            host="go.example.com",
            path=f"/{link}",
            query=utm if rng.random() < channel.tagged_share else "",
            ip=f"{rng.randint(1, 223)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}",
            user_agent=agent,
            referrer=rng.choice(channel.referrers),
            language=rng.choice(_LANGUAGES),
        )
        yield encode(event)
