"""The audit log: who did what to which thing. Rows are only ever added."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db.models import ApiKey, AuditLog, User
from core.services.actor import Actor


def record(
    session: Session,
    *,
    actor: Actor,
    action: str,
    subject: str,
    now: datetime | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add a row to the transaction of `session`: `action` such as "link.edit", `subject` such as "link:12".
    Without `now` the database's clock counts."""
    session.add(
        AuditLog(
            **({} if now is None else {"at": now}),
            actor=str(actor),
            actor_name=actor.name,
            action=action,
            subject=subject,
            detail=dict(detail or {}),
            ip=actor.ip,
        )
    )


def names_of(session: Session, actors: Collection[str]) -> dict[str, str]:
    """Names for actors as history and audit rows hold them; an actor that is gone keeps its id as its name."""
    ids: dict[str, list[int]] = {"user": [], "key": []}
    for actor in actors:
        kind, _, number = actor.partition(":")
        if number.isdigit() and kind in ids:
            ids[kind].append(int(number))
    names = {actor: actor for actor in actors}
    if ids["user"]:
        for user in session.execute(select(User.id, User.name).where(User.id.in_(ids["user"]))):
            names[f"user:{user.id}"] = user.name
    if ids["key"]:
        for key in session.execute(select(ApiKey.id, ApiKey.name).where(ApiKey.id.in_(ids["key"]))):
            names[f"key:{key.id}"] = key.name
    return names
