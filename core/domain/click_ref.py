"""The click id that a postback names, in all the spellings that come back from networks. Pure."""

import re
import uuid
from dataclasses import dataclass
from urllib.parse import unquote

EMPTY, MACRO, BAD = "empty_click_id", "literal_macro", "bad_click_id"
"""Why there is no click id: nothing was sent; the network's macro was sent as it is written, not filled in; what was
sent is no id of ours."""

PREFIXED = "prefix"
"""Note: something stood before the id (`click_0190...`)."""

_LONGEST = 200
_NOTHING = frozenset({"", "null", "none", "undefined", "nil", "(none)", "-", "0"})
_MACRO = re.compile(
    r"""
    \$? \{+ [^{}]* \}+ | \[+ [^\[\]]* \]+ | \#+ [A-Za-z_][\w.]* \#+ | %+ [A-Za-z_][\w.]* %+ | <+ [^<>]+ >+
    | \$ [A-Za-z_]\w* | @ [A-Za-z_]\w* @ | __ [A-Za-z]\w* __ | !!! [A-Za-z]\w* !!!
    """,
    re.VERBOSE,
)
_HEX = r"[0-9a-f]"
_ID = re.compile(
    rf"(?P<prefix>[a-z][a-z0-9]{{0,15}}[:_=.-])?"
    rf"(?P<id>{_HEX}{{8}}-?{_HEX}{{4}}-?{_HEX}{{4}}-?{_HEX}{{4}}-?{_HEX}{{12}})"
)
_WRAPPED = re.compile(r"""["'({\[<]*(.*?)["')}\]>]*""", re.DOTALL)
_VERSION, _VARIANT = "7", "89ab"


@dataclass(frozen=True, slots=True)
class ClickRef:
    """`id` is a click id as 32 digits in groups, "" where there is none: `problem` then says why."""

    id: str = ""
    problem: str = ""
    note: str = ""


def read_click_ref(text: str) -> ClickRef:
    """Read what was sent as click id: with dashes or without, in braces or quotes, upper case, encoded once more,
    blanks around it, behind a prefix. An id that is no UUIDv7 is none of ours."""
    plain = text.strip()
    for _ in range(2):
        if "%" not in plain:
            break
        plain = unquote(plain).strip()
    if plain.lower() in _NOTHING:
        return ClickRef(problem=EMPTY)
    if len(plain) > _LONGEST:
        return ClickRef(problem=BAD)
    bare = _WRAPPED.fullmatch(plain.lower().removeprefix("urn:uuid:"))
    found = _ID.fullmatch(bare[1].strip().removeprefix("urn:uuid:")) if bare else None
    if found is None:
        return ClickRef(problem=MACRO if is_macro(text) or is_macro(plain) else BAD)
    digits = found["id"].replace("-", "")
    if digits[12] != _VERSION or digits[16] not in _VARIANT:
        return ClickRef(problem=BAD)
    return ClickRef(str(uuid.UUID(digits)), note=PREFIXED if found["prefix"] else "")


def is_macro(text: str) -> bool:
    """Whether a value is a macro that nobody filled in: `{clickid}`, `{{clickid}}`, `[clickid]`, `##clickid##`,
    `%clickid%`, `<clickid>`, `$clickid`, `__CLICKID__`, `!!!clickRef!!!`; encoded or not."""
    return any(_MACRO.fullmatch(form.strip()) for form in {text, unquote(text)})
