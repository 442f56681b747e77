"""Uploads and the API: our own names and words are known to every source."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from core.contracts.postback_event import API, POSTBACK, UPLOAD, PostbackEvent
from core.domain.reading import read
from core.domain.sources import SourceSettings

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
ID = uuid.UUID("01a21cc3-e938-7022-804a-58b7916af1d8").bytes
SETTINGS = SourceSettings(
    fields={"transaction_id": ("tid",), "amount": ("sum", "header:x-sum"), "status": ("et",)},
    statuses={"venda": "approved", "rejected": "ignore"},
    amounts="minor",
    currency="BRL",
)


@pytest.mark.parametrize(
    ("kind", "query", "said"),
    [
        (POSTBACK, "transaction_id=A1&amount=5&status=pending", ("", None, "approved")),
        (POSTBACK, "tid=A1&sum=500&et=pending", ("A1", Decimal(5), "")),
        (UPLOAD, "tid=A1&sum=500&et=venda", ("A1", Decimal(5), "approved")),
        (UPLOAD, "order=A1&amount=500&status=pending", ("A1", Decimal(5), "pending")),
        (UPLOAD, "tid=A1&order=B2&sum=500&amount=1", ("A1", Decimal(5), "approved")),
        (UPLOAD, "tid=A1&et=rejected", ("A1", None, "ignore")),
        (API, "transaction_id=A1&amount=1234.50&status=rejected", ("A1", Decimal("1234.5"), "rejected")),
        (API, "transaction_id=A1&status=venda", ("A1", None, "approved")),
        (API, "tid=A1&sum=500", ("", None, "approved")),
    ],
)
def test_it_reads_our_names_beside_the_sources(
    kind: str, query: str, said: tuple[str, Decimal | None, str]
) -> None:
    reading = read(PostbackEvent(id=ID, kind=kind, query=query), SETTINGS, now=NOW)
    assert (reading.transaction_id, reading.amount, reading.status) == said
