"""What can be wrong when a link is saved, in words for people. Slugs and destinations have theirs in domain.urls."""

from datetime import datetime

from core.db.models import Link


class LinkNotFound(Exception):
    """There is no such link, or it was deleted."""


class LinkRefused(Exception):
    """A field can not be taken: `field` names it (title, notes, tags, campaign, domain, state, a setting, or a path
    such as rules.0.url), `message` says why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class SlugTaken(Exception):
    """Another link has this slug on this domain: `link_id` and `title` say which, `suggestion` is free."""

    def __init__(self, *, slug: str, link_id: int, title: str, state: str, suggestion: str) -> None:
        owner = f"“{title}”" if title else f"link {link_id}"
        gone = {"deleted": ", which was deleted", "archived": ", which is archived"}.get(state, "")
        super().__init__(f"{slug} is taken by {owner}{gone}.")
        self.slug = slug
        self.link_id = link_id
        self.title = title
        self.state = state
        self.suggestion = suggestion


class StaleVersion(Exception):
    """Somebody else saved the link meanwhile: `current` is what they saved, `editor` their name, `at` the time."""

    def __init__(self, *, current: Link, editor: str, at: datetime) -> None:
        super().__init__(f"{editor} saved this link meanwhile. Compare both, then save again.")
        self.current = current
        self.editor = editor
        self.at = at
