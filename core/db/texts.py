"""Text from the outside, made fit for a PostgreSQL text column."""


def storable(text: str, longest: int) -> str:
    """At most `longest` characters of `text`; NUL and lone surrogates, which PostgreSQL can not hold, become U+FFFD."""
    cut = text[:longest]
    if cut.isascii():
        return cut.replace("\0", "\ufffd")
    return cut.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
