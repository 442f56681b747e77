"""How long it storms, what the dice say, and how a test tells what it counted."""

import random
from collections.abc import Callable

import pytest

from tests.conftest import TOLD


@pytest.fixture
def storm_minutes(request: pytest.FixtureRequest) -> float | None:
    """What `--storm-minutes` says; None for the short form."""
    minutes: float | None = request.config.getoption("--storm-minutes")
    return minutes


@pytest.fixture
def storm_seed(request: pytest.FixtureRequest) -> int:
    """What `--storm-seed` says, or a new one each time."""
    seed: int | None = request.config.getoption("--storm-seed")
    return random.SystemRandom().randrange(10**6) if seed is None else seed


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """`tell(line)`: printed at the end of the run, and with the test's output when it fails."""

    def told(line: str) -> None:
        print(line)
        record_property(TOLD, line)

    return told
