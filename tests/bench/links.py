"""The links that are asked for, written into Valkey as publishing writes them: a plain one, one with ten rules and a
split, and as many as one likes."""

from collections.abc import Iterable
from typing import Any

import redis

from core.contracts import domain_snapshot, keys, link_snapshot
from core.contracts.domain_snapshot import DomainSnapshot
from core.contracts.link_snapshot import Condition, LinkSnapshot, Rule, Variant
from core.domain import conditions
from core.domain.urls import slug_key

PLAIN, RULED = "/black-friday", "/natal"
TARGET = "https://www.example.com/black-friday?canal=bench"

_SHOP = "https://www.example.com"
_DOMAIN = 1
_REVISION = 1
_BATCH = 1000

CONDITIONS: tuple[tuple[Condition, ...], ...] = (
    (Condition(conditions.COUNTRY, values=("JP", "KR")),),
    (Condition(conditions.DEVICE, values=("tv",)),),
    (Condition(conditions.OS, values=("Chrome OS",)),),
    (Condition(conditions.BROWSER, values=("Opera", "Vivaldi")),),
    (Condition(conditions.LANGUAGE, values=("ja", "ko")),),
    (Condition(conditions.QUERY, name="cupom", values=("VIP",)),),
    (Condition(conditions.REFERRER, values=("example.org", "news.example.net")),),
    (Condition(conditions.DATE, values=("2020-11-27/2020-12-01",), zone="America/Sao_Paulo"),),
    (
        Condition(conditions.TIME, values=(conditions.ALL_DAY,), zone="America/Sao_Paulo"),
        Condition(conditions.IP, values=("192.0.2.0/24", "2001:db8::/32")),
    ),
    (Condition(conditions.ROBOT, is_not=True), Condition(conditions.LANGUAGE, values=("es",))),
)
"""What the ten rules ask: every kind of condition. Of the visitors of this benchmark the first nine match nobody, the
last one those who read Spanish; all others go on to the link's split."""

RULED_LINK = LinkSnapshot(
    link_id=2,
    url=TARGET,
    rules=tuple(
        Rule(place + 1, conditions=asked, url=f"{_SHOP}/regra/{place + 1}")
        for place, asked in enumerate(CONDITIONS)
    ),
    split=tuple(Variant(20 + place, url=f"{_SHOP}/natal/{place}", weight=place) for place in (1, 2, 3)),
    split_key=bytes(range(32)),
)


def path_of(rank: int) -> str:
    """The short link of one of many."""
    return f"/oferta-{rank}"


def publish(client: "redis.Redis[Any]", *, many: int) -> None:
    """Write the domain, the plain link, the one with rules, `many` others, and the ready marker."""
    domain = DomainSnapshot(domain_id=_DOMAIN, host="bench.example", brand="Bench")
    client.set(keys.DEFAULT_DOMAIN, domain_snapshot.encode(domain, revision=_REVISION))
    _put(client, [(PLAIN, LinkSnapshot(link_id=1, url=TARGET)), (RULED, RULED_LINK)])
    for first in range(0, many, _BATCH):
        _put(client, ((path_of(rank), _one(rank)) for rank in range(first, min(many, first + _BATCH))))
    client.set(keys.SNAPSHOTS_READY, str(_REVISION))


def _put(client: "redis.Redis[Any]", links: Iterable[tuple[str, LinkSnapshot]]) -> None:
    with client.pipeline(transaction=False) as pipe:
        for path, link in links:
            name = keys.link(_DOMAIN, slug_key(path[1:], case_sensitive=False))
            pipe.set(name, link_snapshot.encode(link, revision=_REVISION))
        pipe.execute()


def _one(rank: int) -> LinkSnapshot:
    return LinkSnapshot(
        link_id=1000 + rank,
        url=f"{_SHOP}/ofertas/{rank}?canal=bench",
        campaign_id=rank % 40,
        campaign="Black Friday",
    )
