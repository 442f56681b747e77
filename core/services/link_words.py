"""The words on a link: title, notes, tags."""

import unicodedata
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from core.db.models import Tag
from core.services.link_errors import LinkRefused

LONGEST_TITLE, LONGEST_NAME, LONGEST_NOTES, LONGEST_TAG, MOST_TAGS = 200, 100, 4000, 50, 20


def check_title(text: str) -> str:
    """One line without needless spaces, at most 200 characters. Raises LinkRefused."""
    return _checked("title", " ".join(text.split()), LONGEST_TITLE)


def check_name(field: str, text: str) -> str:
    """One line without needless spaces, at most 100 characters. Raises LinkRefused for `field`."""
    return _checked(field, " ".join(text.split()), LONGEST_NAME)


def check_notes(text: str) -> str:
    """Lines end in \\n, at most 4,000 characters. Raises LinkRefused."""
    return _checked("notes", "\n".join(text.strip().splitlines()), LONGEST_NOTES)


def check_tags(tags: Sequence[str]) -> list[str]:
    """Tags in lower case, each once, in order. Raises LinkRefused."""
    names = {_checked("tags", " ".join(tag.split()).lower(), LONGEST_TAG) for tag in tags if tag.strip()}
    if len(names) > MOST_TAGS:
        raise LinkRefused("tags", f"A link has at most {MOST_TAGS} tags; these are {len(names)}.")
    if any("," in name for name in names):
        raise LinkRefused("tags", "A tag can not have a comma.")
    return sorted(names)


def tag_rows(session: Session, names: Sequence[str]) -> list[Tag]:
    """The rows of these tags; those that are missing are made."""
    if not names:
        return []
    session.execute(insert(Tag).values([{"name": name} for name in names]).on_conflict_do_nothing())
    return list(session.scalars(select(Tag).where(Tag.name.in_(names)).order_by(Tag.name)))


def _checked(field: str, text: str, longest: int) -> str:
    text = unicodedata.normalize("NFC", text)
    if any(unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t" for char in text):
        raise LinkRefused(field, "There is a character in it that can not be seen. Type it anew.")
    if len(text) > longest:
        raise LinkRefused(field, f"At most {longest:,} characters; these are {len(text):,}.")
    return text
