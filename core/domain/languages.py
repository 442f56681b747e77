"""The language that a browser asks for first."""

import re
from functools import lru_cache

_TAG = re.compile(r"([A-Za-z]{2,3})(?:-([A-Za-z]{4}))?(?:-([A-Za-z]{2}|[0-9]{3}))?(?:-[A-Za-z0-9]{1,8})*")
_LONGEST = 128


def first_language(accept_language: str) -> str:
    """The first language of an Accept-Language header, in one spelling: "pt-br,pt;q=0.9" gives "pt-BR".

    Script and region are kept, extensions are not. "" for a missing header, for "*" and for what is no language.
    """
    return _first(accept_language[:_LONGEST]) if accept_language else ""


@lru_cache(maxsize=4096)
def _first(header: str) -> str:
    tag = header.partition(",")[0].partition(";")[0].strip().replace("_", "-")
    match = _TAG.fullmatch(tag)
    if match is None:
        return ""
    language, script, region = match.groups()
    parts = [language.lower(), script.title() if script else "", region.upper() if region else ""]
    return "-".join(part for part in parts if part)
