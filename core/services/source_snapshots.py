"""From the rows of sources to what the tracker knows of them."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, func, or_, select

from core.contracts.source_snapshot import Signature, SourceSnapshot, SourcesSnapshot, Token
from core.db.conversions import ConversionSource, SourceToken
from core.domain.source_checks import wanted_headers
from core.domain.sources import SignatureSettings, settings_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def sources_of(connection: Connection) -> SourcesSnapshot:
    """Every source that is not switched off, with the tokens that are still taken."""
    tokens: dict[int, list[Token]] = {}
    taken = or_(SourceToken.expires_at.is_(None), SourceToken.expires_at > func.now())
    for row in connection.execute(
        select(SourceToken.source_id, SourceToken.token_hash, SourceToken.expires_at)
        .where(taken)
        .order_by(SourceToken.id.desc())
    ):
        tokens.setdefault(row.source_id, []).append(Token(hash=row.token_hash, until_ms=_ms(row.expires_at)))
    found = []
    for row in connection.execute(
        select(ConversionSource.id, ConversionSource.settings, ConversionSource.signature_keys)
        .where(ConversionSource.is_active)
        .order_by(ConversionSource.id)
    ):
        settings = settings_of(row.settings)
        found.append(
            SourceSnapshot(
                source_id=row.id,
                tokens=tuple(tokens.get(row.id, ())),
                networks=settings.networks,
                signature=_signature(settings.signature, tuple(row.signature_keys)),
                reply=settings.reply,
                wants_headers=wanted_headers(settings),
            )
        )
    return SourcesSnapshot(sources=tuple(found))


def _signature(settings: SignatureSettings, keys: tuple[bytes, ...]) -> Signature | None:
    """None where nothing is checked: no header is named, or no key is there yet (the page says so)."""
    if not settings.header or not keys:
        return None
    return Signature(
        keys=keys,
        header=settings.header,
        covers=settings.covers,
        algorithm=settings.algorithm,
        encoding=settings.encoding,
        prefix=settings.prefix,
        time_header=settings.time_header,
        tolerance_s=settings.tolerance_s,
    )


def _ms(at: datetime | None) -> int:
    return 0 if at is None else (at - _EPOCH) // timedelta(milliseconds=1)
