"""Who may do what: one table, shown in the product and asked by every view."""

ROLES = ("admin", "marketer", "support", "viewer")

PERMISSIONS: dict[str, tuple[str, ...]] = {
    "links.view": ("admin", "marketer", "support", "viewer"),
    "links.edit": ("admin", "marketer"),
    "links.delete": ("admin", "marketer"),
    "reports.view": ("admin", "marketer", "support", "viewer"),
    "clicks.view": ("admin", "marketer", "support"),
    "addresses.view": ("admin",),
    "postbacks.view": ("admin", "marketer", "support"),
    "postbacks.replay": ("admin", "support"),
    "conversions.view": ("admin", "marketer", "support", "viewer"),
    "conversions.edit": ("admin", "support"),
    "sources.view": ("admin", "marketer", "support"),
    "sources.edit": ("admin",),
    "sending.view": ("admin", "marketer", "support"),
    "sending.edit": ("admin",),
    "queues.view": ("admin", "support"),
    "queues.edit": ("admin",),
    "domains.view": ("admin", "marketer", "support", "viewer"),
    "domains.edit": ("admin",),
    "users.edit": ("admin",),
    "keys.edit": ("admin",),
}
"""Permission -> roles that have it."""


def may(role: str, permission: str) -> bool:
    """True when `role` has `permission`. Raises KeyError for a permission that is not in the table: a typo in a view
    must fail loudly, never open a door."""
    return role in PERMISSIONS[permission]


def permissions_of(role: str) -> frozenset[str]:
    """Every permission that `role` has; none for a role that does not exist."""
    return frozenset(name for name, roles in PERMISSIONS.items() if role in roles)
