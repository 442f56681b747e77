"""The inbox among a million postbacks: how long its questions take, each asked as the page asks it.

`run` is the part `search` of `rastro bench postbacks`.
"""

import argparse
import os
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import median
from uuid import UUID

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from core.db.engine import make_engine
from core.services import postbacks
from core.services.postbacks import InboxFilter
from tests.bench.run import Finding
from tests.bench.stand import Stand, print_table

AIM_MS = 200
DAYS = 30
_ROUNDS = 25

_SOURCES = """
insert into conversion_sources (name, preset) select 'Source ' || n, 'plain' from generate_series(1, 12) as n
"""
_FILL = """
insert into postbacks (
    id, source_id, kind, method, host, query, content_type, body, ip, user_agent, referrer, token_hint, refused,
    answered, verdict, why, reading, judged_at, click_id, transaction_id, event, status, amount, currency, terms
)
select
    id, source_id, 0, 'GET', 'go.example',
    format('subid=%s&valor=%s&pedido=%s&status=aprovado', click_id, amount, pedido),
    '', '', '203.0.113.7', 'Lojista/2.4', '', 'pb_k3…4f2c', case verdict when 'refused' then 'token' else '' end, 200,
    verdict, '{"code": "matched"}', jsonb_build_object(
        'at', at, 'click_id', click_id, 'transaction_id', pedido, 'lines',
        jsonb_build_array(
            jsonb_build_object('name', 'subid', 'value', click_id, 'read_as', 'click_id', 'result', click_id),
            jsonb_build_object('name', 'valor', 'value', amount, 'read_as', 'amount', 'result', amount),
            jsonb_build_object('name', 'pedido', 'value', pedido, 'read_as', 'transaction_id', 'result', pedido),
            jsonb_build_object('name', 'status', 'value', 'aprovado', 'read_as', 'status', 'result', 'approved'))),
    at, case when verdict = 'no_click' then null else click_id end, pedido, 'sale', 'approved', amount, 'BRL',
    array[click_id::text, pedido, amount::text, 'aprovado', 'loja-' || n % 50,
          case when n % 100 = 7 then 'bf10' else 'cliente-' || n % 300000 end]
from (
    select n, at, 1 + (n * 7919) % 11 as source_id, 'ar-2026-' || n as pedido,
        ((n * 31) % 250000)::numeric / 100 + 1 as amount,
        (lpad(to_hex(ms), 12, '0') || '70008' || lpad(to_hex(n), 15, '0'))::uuid as id,
        (lpad(to_hex(ms - 1000 * (30 + n % 7200)), 12, '0') || '70009' || lpad(to_hex(n), 15, '0'))::uuid as click_id,
        case when n % 997 = 0 then 'refused' when n % 50 = 3 then 'no_click' when n % 30 = 5 then 'repeated'
             when n % 25 = 6 then 'update' when n % 4001 = 0 then 'unreadable' else 'conversion' end as verdict
    from (
        select n, :first + n * (:length / :rows) as ms,
            to_timestamp((:first + n * (:length / :rows)) / 1000.0) as at
        from generate_series(:begin ::bigint, :end ::bigint) as n
    ) as numbered
) as made
"""


def run(servers: Stand, options: argparse.Namespace) -> list[Finding]:
    """Fill the inbox and ask. Prints a table of the questions; whether the aim was reached is given back."""
    rows = 20_000 if options.quick else 1_000_000
    engine = make_engine(servers.settings.database_url)
    now = datetime.now(UTC)
    fill(engine, rows=rows, now=now)
    measured = [(name, *_measure(engine, ask)) for name, ask in _questions(rows, now)]
    engine.dispose()
    lines = [(name, f"{middle:.0f}", f"{worst:.0f}") for name, middle, worst in measured]
    print_table(
        f"The inbox among {rows:,} postbacks, rows and counts of a page, {_ROUNDS} times each, "
        f"load {os.getloadavg()[0]:.0f}",
        ("question", "median ms", "worst ms"),
        lines,
    )
    usual, worst = (max(one[place] for one in measured) for place in (1, 2))
    return [
        Finding("inbox: the slowest question", f"{usual:.0f} ms", f"under {AIM_MS} ms", usual < AIM_MS),
        Finding("inbox: the slowest answer of all", f"{worst:.0f} ms", f"under {AIM_MS} ms", worst < AIM_MS),
    ]


def fill(engine: Engine, *, rows: int, now: datetime) -> None:
    """Write the inbox of DAYS full, and have PostgreSQL look at it as it does by itself in time."""
    length = DAYS * 24 * 3600 * 1000
    first = int(now.timestamp() * 1000) - length
    with engine.begin() as connection:
        connection.execute(text(_SOURCES))
    for begin in range(1, rows + 1, 50_000):
        end = min(begin + 49_999, rows)
        with engine.begin() as connection:
            values = {"first": first, "length": length, "rows": rows, "begin": begin, "end": end}
            connection.execute(text(_FILL), values)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum (analyze) postbacks"))


def _questions(rows: int, now: datetime) -> Sequence[tuple[str, Callable[[Session, random.Random], None]]]:
    def page(make: Callable[[random.Random], InboxFilter]) -> Callable[[Session, random.Random], None]:
        def ask(session: Session, rng: random.Random) -> None:
            filter = make(rng)
            found = postbacks.find_postbacks(session, filter)
            postbacks.count_postbacks(session, filter)
            postbacks.source_choices(session)
            if filter.search and not found.rows:
                postbacks.look_around(session, filter.search)

        return ask

    def click(rng: random.Random) -> str:
        return str(_click_id(rng.randrange(1, rows), rows, now))

    today = now - timedelta(hours=24)
    narrow = Decimal("812.40")
    return (
        ("newest, of one day", page(lambda rng: InboxFilter(since=today))),
        ("newest, of all", page(lambda rng: InboxFilter())),
        ("one outcome", page(lambda rng: InboxFilter(verdicts=("no_click",)))),
        (
            "a rare outcome of one source",
            page(lambda rng: InboxFilter(verdicts=("unreadable",), source_id=3)),
        ),
        ("one source, 28 days", page(lambda rng: InboxFilter(source_id=3, since=now - timedelta(days=28)))),
        ("a source that sent nothing", page(lambda rng: InboxFilter(source_id=12))),
        (
            "far back",
            page(lambda rng: InboxFilter(before=postbacks.first_id(now - timedelta(days=DAYS - 1)))),
        ),
        ("click id", page(lambda rng: InboxFilter(search=click(rng)))),
        ("first 8 characters of a click id", page(lambda rng: InboxFilter(search=click(rng)[:8]))),
        ("first 13 characters of a click id", page(lambda rng: InboxFilter(search=click(rng)[:13]))),
        ("order", page(lambda rng: InboxFilter(search=f"AR-2026-{rng.randrange(1, rows)}"))),
        ("customer", page(lambda rng: InboxFilter(search=f"cliente-{rng.randrange(300_000)}"))),
        ("value of one in a hundred", page(lambda rng: InboxFilter(search="BF10"))),
        ("value of one in fifty", page(lambda rng: InboxFilter(search=f"loja-{rng.randrange(50)}"))),
        ("value of nearly all", page(lambda rng: InboxFilter(search="aprovado"))),
        (
            "value of nearly all, rare outcome",
            page(lambda rng: InboxFilter(search="aprovado", verdicts=("refused",))),
        ),
        ("value that nobody has", page(lambda rng: InboxFilter(search=f"none-{rng.random()}"))),
        ("order, of one day", page(lambda rng: InboxFilter(search=f"ar-2026-{rows - 5}", since=today))),
        ("an exact amount", page(lambda rng: InboxFilter(least=narrow, most=narrow))),
        ("large amounts", page(lambda rng: InboxFilter(least=Decimal(2490), since=now - timedelta(days=28)))),
        ("amounts that nobody has", page(lambda rng: InboxFilter(least=Decimal(999_999)))),
    )


def _click_id(n: int, rows: int, now: datetime) -> UUID:
    """The click id of a postback, as `_FILL` writes it."""
    length = DAYS * 24 * 3600 * 1000
    ms = int(now.timestamp() * 1000) - length + n * (length // rows) - 1000 * (30 + n % 7200)
    return UUID(f"{ms:012x}70009{n:015x}")


def _measure(engine: Engine, ask: Callable[[Session, random.Random], None]) -> tuple[float, float]:
    """Median and worst of some rounds, in ms. The first is not counted: somebody has always asked before."""
    rng = random.Random(7)
    taken = []
    for _ in range(_ROUNDS + 1):
        with Session(engine) as session:
            begin = time.perf_counter()
            ask(session, rng)
            taken.append((time.perf_counter() - begin) * 1000)
    return median(taken[1:]), max(taken[1:])
