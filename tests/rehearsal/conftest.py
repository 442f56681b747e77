"""Which form is rehearsed, and how a rehearsal tells what it saw."""

import time
from collections.abc import Callable

import pytest

from tests.conftest import TOLD
from tests.rehearsal.kubelet import Say


@pytest.fixture
def is_long(request: pytest.FixtureRequest) -> bool:
    """Whether `--rehearsal long` was said."""
    form: str = request.config.getoption("--rehearsal")
    return form == "long"


@pytest.fixture
def say(record_property: Callable[[str, object], None]) -> Say:
    """`say(line)`: printed with the seconds since the start; at the end of the run, and at once with pytest's `-s`."""
    begun = time.monotonic()

    def told(line: str) -> None:
        stamped = f"{time.monotonic() - begun:6.1f}  {line}"
        print(stamped, flush=True)
        record_property(TOLD, stamped)

    return told
