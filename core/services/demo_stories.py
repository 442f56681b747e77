"""What the sources of the example data say of a purchase, and when, in their own words and with the usual mishaps."""

import itertools
import json
import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from urllib.parse import urlencode

from core.contracts.click_event import unix_ms
from core.contracts.postback_event import ADDRESS, TOKEN
from core.services import demo_world as world

_SECOND, _MINUTE = 1000, 60_000
_HOUR, _DAY = 60 * _MINUTE, 24 * 60 * _MINUTE


@dataclass(frozen=True, slots=True)
class Purchase:
    """A click whose visitor buys, and the word of the offer."""

    click: bytes
    word: str


@dataclass(frozen=True, slots=True)
class Said:
    """What a source says, and when (ms since 1970): a query, or a JSON document; `refused` by the door or ""."""

    ms: int
    source: str
    query: str = ""
    body: str = ""
    refused: str = ""


def tell(purchases: Sequence[Purchase], *, with_coupon: bool, rng: random.Random) -> list[Said]:
    """All that is said of these purchases, in the order of time; `with_coupon` lets some use the coupon instead of
    their click."""
    tellers: dict[str, Callable[[_Sale, random.Random], Iterator[Said]]] = {
        world.SHOP_SOURCE: _shop,
        world.NETWORK_SOURCE: _network,
        world.PAYMENTS_SOURCE: _payments,
    }
    names = [reporter.name for reporter in world.REPORTERS]
    shares = [reporter.share for reporter in world.REPORTERS]
    said: list[Said] = []
    orders = itertools.count(rng.randrange(100_000, 900_000), 3)
    for purchase in purchases:
        source = rng.choices(names, shares)[0]
        sale = _sale(purchase, next(orders), rng, late=source == world.NETWORK_SOURCE)
        if rng.random() < world.WITHOUT_CLICK:
            sale = _without_click(sale, rng)
        elif with_coupon and source == world.SHOP_SOURCE and rng.random() < world.BY_COUPON:
            sale = replace(sale, click="", coupon=world.COUPON.upper())
        said += tellers[source](sale, rng)
        if rng.random() < world.REFUSED:
            said.append(_refused(said[-1], rng))
    return sorted(said, key=lambda one: one.ms)


@dataclass(frozen=True, slots=True)
class _Sale:
    """A purchase as a source knows it: `click` is what it got as our click id."""

    ms: int
    click: str
    order: int
    price: Decimal
    customer: str
    word: str
    coupon: str = ""


def _sale(purchase: Purchase, order: int, rng: random.Random, *, late: bool) -> _Sale:
    """Most people buy within the hour, some think it over; once in a while nobody is told for more than a week."""
    wait = int(rng.expovariate(1 / (25 * _MINUTE))) + 40 * _SECOND
    if rng.random() < world.THINKS_IT_OVER:
        wait += rng.randrange(5 * _HOUR, 4 * _DAY)
    if late and rng.random() < world.TOO_LATE:
        wait += 8 * _DAY
    price = Decimal(world.PRICES[purchase.word]) * Decimal(rng.randrange(70, 140)) / 100
    return _Sale(
        ms=unix_ms(purchase.click) + wait,
        click=str(uuid.UUID(bytes=purchase.click)),
        order=order,
        price=price.quantize(Decimal("0.01")),
        customer=f"c{rng.randrange(20_000, 90_000)}",
        word=purchase.word,
    )


def _without_click(sale: _Sale, rng: random.Random) -> _Sale:
    """The macro was never filled in, the parameter is empty or cut off, or the id is not of a click of ours."""
    nobodys = uuid.UUID(int=uuid.UUID(sale.click).int - (5 * _DAY << 80))
    wrong = ("{clickid}", "", sale.click[:18], str(nobodys))
    return replace(sale, click=rng.choice(wrong))


def _shop(sale: _Sale, rng: random.Random) -> Iterator[Said]:
    """By query, in Portuguese: some pay by slip, days later or never; some send it back; a few are told twice."""

    def say(after_ms: int, status: str, valor: str = "") -> Said:
        told = {
            world.CLICK_ID_PARAM: sale.click,
            "pedido": f"LJ-{sale.order}",
            "valor": valor or _in_brazilian(sale.price),
            "moeda": "BRL",
            "status": status,
            "cliente": sale.customer,
            "produto": sale.word,
        }
        if sale.coupon:
            told["cupom"] = sale.coupon
        return Said(sale.ms + after_ms, world.SHOP_SOURCE, query=urlencode(told))

    chance = rng.random()
    if chance < 0.01:
        yield say(0, "pago", valor="a combinar")
        return
    if chance < 0.02:
        yield say(0, "em_separacao")  # a word that nobody has told us the meaning of
        return
    if chance < 0.25:
        yield say(0, "pendente")
        later = rng.randrange(8 * _HOUR, 3 * _DAY)
        yield say(later, "pago" if rng.random() < 0.8 else "cancelado")
        return
    yield say(0, "pago")
    if chance < 0.29:
        yield say(rng.randrange(2 * _SECOND, 90 * _SECOND), "pago")
    elif chance < 0.33:
        yield say(rng.randrange(2 * _DAY, 9 * _DAY), "reembolsado")


def _network(sale: _Sale, rng: random.Random) -> Iterator[Said]:
    """As Keitaro does: a lead, then a sale with the commission, or trash."""
    commission = (sale.price * world.IN_USD["BRL"] * Decimal("0.08")).quantize(Decimal("0.01"))

    def say(after_ms: int, status: str, payout: Decimal) -> Said:
        told = {
            world.CLICK_ID_PARAM: sale.click,
            "status": status,
            "payout": payout,
            "tid": f"RA{sale.order}",
        }
        return Said(sale.ms + after_ms, world.NETWORK_SOURCE, query=urlencode(told))

    yield say(0, "lead", Decimal("0.00"))
    chance = rng.random()
    later = rng.randrange(2 * _HOUR, 5 * _DAY)
    if chance < 0.75:
        yield say(later, "sale", commission)
    elif chance < 0.9:
        yield say(later, "trash", Decimal("0.00"))


def _payments(sale: _Sale, rng: random.Random) -> Iterator[Said]:
    """As JSON, in cents: what happens to a payment, step by step."""

    def say(after_ms: int, event: str) -> Said:
        told = {
            "id": f"evt_{rng.getrandbits(64):016x}",
            "event": event,
            "data": {
                "order": {"id": f"P-{sale.order}"},
                "amount": {"value": int(sale.price * 100), "currency": "BRL"},
                "customer": {"id": sale.customer},
                "metadata": {"clickid": sale.click},
            },
        }
        return Said(sale.ms + after_ms, world.PAYMENTS_SOURCE, body=json.dumps(told))

    chance = rng.random()
    if chance < 0.15:
        yield say(-20 * _SECOND, "payment.viewed")
    if chance < 0.3:
        yield say(0, "payment.pending")
        yield say(rng.randrange(_HOUR, _DAY), "payment.paid" if chance < 0.26 else "payment.failed")
        return
    yield say(0, "payment.paid")
    if chance < 0.35:
        yield say(rng.randrange(_DAY, 6 * _DAY), "payment.refunded")


def _refused(said: Said, rng: random.Random) -> Said:
    """Somebody tries the same with a token that is nobody's, or from an address that is not the source's."""
    reason = ADDRESS if said.source == world.NETWORK_SOURCE else TOKEN
    return replace(said, ms=said.ms + rng.randrange(_MINUTE, _HOUR), refused=reason)


def _in_brazilian(amount: Decimal) -> str:
    """1.234,56"""
    return f"{amount:,}".translate(str.maketrans(",.", ".,"))
