"""What a link's password may be. What people's own must be is in `passwords.py`."""

import unicodedata

LONGEST = 128


class UnfitPassword(Exception):
    """A link can not have this password; the text says what to do."""


def as_typed(password: str) -> str:
    """A password as it is hashed and compared: people copy spaces along, and keyboards write an accent in two ways."""
    return unicodedata.normalize("NFC", password).strip()


def check_link_password(password: str) -> str:
    """The password `as_typed`, of 1 to 128 characters that a form can send. Raises UnfitPassword."""
    typed = as_typed(password)
    if not 1 <= len(typed) <= LONGEST:
        raise UnfitPassword(f"A password has 1 to {LONGEST} characters; spaces around it do not count.")
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in typed):
        raise UnfitPassword("A password has only characters that can be typed into one line.")
    return typed
