"""People, domains and links: the rows that people edit. Clicks are in `tracking.py`, queues in `work.py`."""

from datetime import datetime
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import INET, JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.db.base import Base, CreatedAt, Id
from core.domain.permissions import ROLES

_C = Text(collation="C")


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} in ({', '.join(repr(value) for value in values)})"


class User(Base):
    """A person who signs in. `email` is stored in lower case; one organisation an installation."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint(_one_of("role", ROLES), name="role"),
        CheckConstraint("email = lower(email)", name="email_lower"),
    )

    id: Mapped[Id]
    email: Mapped[str] = mapped_column(_C, unique=True)
    name: Mapped[str]
    role: Mapped[str]
    password_hash: Mapped[str]
    time_zone: Mapped[str | None]
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    created_at: Mapped[CreatedAt]
    last_seen_at: Mapped[datetime | None]


class Session(Base):
    """A signed-in browser. Only the SHA-256 of its token is stored, so a leaked table opens no session."""

    __tablename__ = "sessions"

    id: Mapped[Id]
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[CreatedAt]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    is_kept: Mapped[bool] = mapped_column(server_default=text("false"))
    ip: Mapped[str | None] = mapped_column(INET)
    user_agent: Mapped[str | None]

    user: Mapped[User] = relationship()


class PasswordReset(Base):
    """A link that was mailed to set a new password; used once, within the hour."""

    __tablename__ = "password_resets"

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    expires_at: Mapped[datetime]
    created_at: Mapped[CreatedAt]


class ApiKey(Base):
    """A key for the API: shown once, kept as a SHA-256; `prefix` lets a person recognise it."""

    __tablename__ = "api_keys"
    __table_args__ = (CheckConstraint(_one_of("role", ROLES), name="role"),)

    id: Mapped[Id]
    name: Mapped[str]
    role: Mapped[str]
    prefix: Mapped[str]
    key_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[CreatedAt]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class Domain(Base):
    """A host that short links live on. Its case rule is fixed when it is made: slug keys depend on it."""

    __tablename__ = "domains"
    __table_args__ = (
        CheckConstraint("host = lower(host)", name="host_lower"),
        Index("uq_domains_default", "is_default", unique=True, postgresql_where=text("is_default")),
    )

    id: Mapped[Id]
    host: Mapped[str] = mapped_column(_C, unique=True)
    brand: Mapped[str] = mapped_column(server_default="")
    is_default: Mapped[bool] = mapped_column(server_default=text("false"))
    case_sensitive: Mapped[bool] = mapped_column(server_default=text("false"))
    root_url: Mapped[str] = mapped_column(server_default="")
    not_found_url: Mapped[str] = mapped_column(server_default="")
    expired_url: Mapped[str] = mapped_column(server_default="")
    source_param: Mapped[str] = mapped_column(server_default="s")
    apple_app_site_association: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    assetlinks: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[CreatedAt]


class Campaign(Base):
    """A group of links with one purpose."""

    __tablename__ = "campaigns"

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[CreatedAt]


class Tag(Base):
    """A word to find links by."""

    __tablename__ = "tags"

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(unique=True)


class LinkTag(Base):
    """Which link carries which tag."""

    __tablename__ = "link_tags"

    link_id: Mapped[int] = mapped_column(ForeignKey("links.id", ondelete="CASCADE"), primary_key=True)
    tag_id: Mapped[int] = mapped_column(
        ForeignKey("tags.id", ondelete="CASCADE"), primary_key=True, index=True
    )


LINK_STATES = ("live", "paused", "archived", "deleted")


class Link(Base):
    """A short link. `slug` is shown as typed, `slug_key` (made by `domain.urls.slug_key` alone) is looked up.

    `version` rises with every edit and guards against two people saving at once. A deleted link keeps its row and
    slug, so that the slug answers 410 and its clicks stay explained. It leads to `url` from `starts_at` on and before
    `expires_at`, at most `click_cap` people; else to `fallback_url`, where there is one."""

    __tablename__ = "links"
    __table_args__ = (
        UniqueConstraint("domain_id", "slug_key"),
        CheckConstraint(_one_of("state", LINK_STATES), name="state"),
        CheckConstraint("version > 0", name="version"),
        CheckConstraint("starts_at < expires_at", name="window"),
        CheckConstraint("redirect_status in (302, 307)", name="redirect_status"),
        CheckConstraint("click_cap >= 1", name="click_cap"),
        CheckConstraint(
            "password_hash = '' or starts_with(password_hash, '$argon2id$')", name="password_hash"
        ),
        Index("ix_links_created", text("created_at DESC"), text("id DESC")),
        Index(
            "ix_links_search",
            literal_column("lower((((title || ' '::text) || slug) || ' '::text) || url)").label("search"),
            postgresql_using="gin",
            postgresql_ops={"search": "gin_trgm_ops"},
        ),
    )

    id: Mapped[Id]
    domain_id: Mapped[int] = mapped_column(ForeignKey("domains.id", ondelete="RESTRICT"))
    slug: Mapped[str]
    slug_key: Mapped[str] = mapped_column(_C)
    url: Mapped[str]
    title: Mapped[str] = mapped_column(server_default="")
    notes: Mapped[str] = mapped_column(server_default="")
    state: Mapped[str] = mapped_column(server_default="live")
    starts_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    fallback_url: Mapped[str] = mapped_column(server_default="")
    click_cap: Mapped[int | None]
    ios_url: Mapped[str] = mapped_column(server_default="")
    android_url: Mapped[str] = mapped_column(server_default="")
    redirect_status: Mapped[int] = mapped_column(SmallInteger, server_default=text("302"))
    no_referrer: Mapped[bool] = mapped_column(server_default=text("false"))
    pass_query: Mapped[bool] = mapped_column(server_default=text("true"))
    click_id_param: Mapped[str] = mapped_column(server_default="")
    password_hash: Mapped[str] = mapped_column(server_default="")
    campaign_id: Mapped[int | None] = mapped_column(
        ForeignKey("campaigns.id", ondelete="SET NULL"), index=True
    )
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    split_key: Mapped[bytes | None] = mapped_column(LargeBinary)
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]

    domain: Mapped[Domain] = relationship()
    campaign: Mapped[Campaign | None] = relationship()
    owner: Mapped[User | None] = relationship()
    tags: Mapped[list[Tag]] = relationship(secondary="link_tags", order_by="Tag.name")
    every_rule: Mapped[list["LinkRule"]] = relationship(order_by="LinkRule.position")
    every_variant: Mapped[list["LinkVariant"]] = relationship(order_by="LinkVariant.position")

    @property
    def rules(self) -> list["LinkRule"]:
        """The rules of now, in order."""
        return _of_now(self.every_rule)

    @property
    def split(self) -> list["LinkVariant"]:
        """The variants of now, in order."""
        return _of_now(self.every_variant)


class LinkRule(Base):
    """Where visitors go for whom all conditions hold: to `url`, or to one of the rule's variants.

    One without a position was taken out: it stays, so that the clicks that it led keep its name."""

    __tablename__ = "link_rules"
    __table_args__ = (CheckConstraint("position >= 0", name="position"),)

    id: Mapped[Id]
    link_id: Mapped[int] = mapped_column(ForeignKey("links.id", ondelete="CASCADE"), index=True)
    position: Mapped[int | None]
    name: Mapped[str] = mapped_column(server_default="")
    conditions: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    url: Mapped[str] = mapped_column(server_default="")

    every_variant: Mapped[list["LinkVariant"]] = relationship(order_by="LinkVariant.position")

    @property
    def split(self) -> list["LinkVariant"]:
        """The variants of now, in order."""
        return _of_now(self.every_variant)


class LinkVariant(Base):
    """One destination of a split, which is a link's or a rule's. Without a position it was taken out."""

    __tablename__ = "link_variants"
    __table_args__ = (
        CheckConstraint("num_nonnulls(link_id, rule_id) = 1", name="one_owner"),
        CheckConstraint("position >= 0", name="position"),
        CheckConstraint("weight between 1 and 10000", name="weight"),
    )

    id: Mapped[Id]
    link_id: Mapped[int | None] = mapped_column(ForeignKey("links.id", ondelete="CASCADE"), index=True)
    rule_id: Mapped[int | None] = mapped_column(ForeignKey("link_rules.id", ondelete="CASCADE"), index=True)
    position: Mapped[int | None]
    name: Mapped[str]
    url: Mapped[str]
    weight: Mapped[int]


Placed = TypeVar("Placed", LinkRule, LinkVariant)


def _of_now(rows: list[Placed]) -> list[Placed]:
    """Those that were not taken out; rows of this session may have been moved since they were read."""
    placed = [(row.position, row) for row in rows if row.position is not None]
    return [row for _, row in sorted(placed, key=itemgetter(0))]


class LinkHistory(Base):
    """Each version of a link as it was saved: who, when, through what, and which fields differed from before."""

    __tablename__ = "link_history"

    link_id: Mapped[int] = mapped_column(ForeignKey("links.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[CreatedAt]
    actor: Mapped[str]
    action: Mapped[str]
    fields: Mapped[dict[str, Any]] = mapped_column(JSONB)
    changed: Mapped[list[str]] = mapped_column(JSONB)


class AuditLog(Base):
    """Who did what to which thing; rows are only ever added. `actor` is "user:7", "key:3" or "command"."""

    __tablename__ = "audit_log"
    __table_args__ = (Index("ix_audit_log_subject", "subject", text("id DESC")),)

    id: Mapped[Id]
    at: Mapped[CreatedAt]
    actor: Mapped[str]
    actor_name: Mapped[str] = mapped_column(server_default="")
    action: Mapped[str]
    subject: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))
    ip: Mapped[str | None] = mapped_column(INET)
