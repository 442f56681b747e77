"""A link's password: set, changed, taken away. Only its hash is kept, and history says no more than that it changed."""

from argon2.exceptions import InvalidHashError, VerificationError

from core.db.models import Link
from core.domain.link_passwords import UnfitPassword, check_link_password
from core.services.hashing import hasher
from core.services.link_errors import LinkRefused


def put_password(link: Link, password: str | None) -> None:
    """Give the link a password, or take it away (None). The one that it has stays as it is. Raises LinkRefused."""
    if password is None:
        link.password_hash = ""
        return
    try:
        typed = check_link_password(password)
    except UnfitPassword as refused:
        raise LinkRefused("password", str(refused)) from refused
    if not _is_of_now(link, typed):
        link.password_hash = hasher().hash(typed)


def _is_of_now(link: Link, typed: str) -> bool:
    """Saving what is already there changes nothing; a hash with other parameters is renewed."""
    held = link.password_hash
    try:
        return hasher().verify(held, typed) and not hasher().check_needs_rehash(held)
    except (VerificationError, InvalidHashError):
        return False
