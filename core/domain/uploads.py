"""Conversions as people upload them: a table with a head, or a click id on each line with `:name=value` behind it.

Pure. What a column means is not decided here: rows come out as names and values, as a postback's parameters do.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from core.domain.click_ref import read_click_ref

MOST_ROWS = 5_000
MOST_COLUMNS = 100
LONGEST = 400_000
"""Characters of one upload."""

CLICK_ID = "click_id"
"""The name that a click id alone on its line has."""

_SEPARATORS = (";", "\t", ",")
_PART = re.compile(r":\s*(?=[^\s:=]{1,100}\s*=)")
"""Where a part of a line begins; a value may hold colons, as times do."""


class UploadRefused(ValueError):
    """Nothing of an upload can be read; the text is a plain sentence for the person who sent it."""


@dataclass(frozen=True, slots=True)
class UploadRow:
    """A line (counted from 1) and its parameters in their order; `problem` is why it can not be read, else ""."""

    line: int
    pairs: tuple[tuple[str, str], ...]
    problem: str = ""

    @property
    def query(self) -> str:
        """The parameters as a form sends them."""
        return urlencode(self.pairs, errors="replace")


def parse_upload(text: str) -> list[UploadRow]:
    """Every row that is not empty, in order. Raises UploadRefused for what is too long, empty, or has no head."""
    if len(text) > LONGEST:
        raise UploadRefused(
            f"That is more than {LONGEST:,} characters. Send it in parts, or use the API, which takes more."
        )
    lines = text.removeprefix("\ufeff").splitlines()
    first = next((line.strip() for line in lines if line.strip()), "")
    if not first:
        raise UploadRefused("There is nothing in it.")
    rows = list(_lines(lines) if read_click_ref(_PART.split(first)[0]).id else _table(lines))
    if not rows:
        raise UploadRefused("There is a head, and no row below it.")
    if len(rows) > MOST_ROWS:
        raise UploadRefused(
            f"{len(rows):,} rows are more than the {MOST_ROWS:,} that go at once. Send it in parts."
        )
    return rows


def _lines(lines: Sequence[str]) -> Iterator[UploadRow]:
    """`clickid:payout=12.34:status=sale`, one a line."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        click_id, *parts = _PART.split(line.strip())
        pairs = [(CLICK_ID, click_id.strip())]
        for part in parts:
            name, _, value = part.partition("=")
            pairs.append((name.strip(), value.strip()))
        yield UploadRow(number, tuple(pairs))


def _table(lines: Sequence[str]) -> Iterator[UploadRow]:
    first = next(line for line in lines if line.strip())
    separator = max(_SEPARATORS, key=first.count)
    reader = csv.reader((line + "\n" for line in lines), delimiter=separator)
    head: list[str] | None = None
    start = 1
    for cells in reader:
        line, start = start, reader.line_num + 1
        if not any(cell.strip() for cell in cells):
            continue
        if head is None:
            head = _head(cells)
            continue
        pairs = tuple(
            (name, cell.strip()) for name, cell in zip(head, cells, strict=False) if name and cell.strip()
        )
        extra = len(cells) - len(head)
        problem = f"It has {len(cells)} cells, and the head has {len(head)}." if extra > 0 else ""
        yield UploadRow(line, pairs, problem)


def _head(cells: Sequence[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    named = [name.lower() for name in names if name]
    if len(names) > MOST_COLUMNS:
        raise UploadRefused(f"The head has {len(names)} columns; at most {MOST_COLUMNS} are taken.")
    twice = next((name for name in named if named.count(name) > 1), "")
    if twice:
        raise UploadRefused(f"The head names {twice} twice. Give each column a name of its own.")
    return names
