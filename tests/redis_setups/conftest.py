"""How a test tells what it measured."""

from tests.faults.conftest import tell  # noqa: F401 (a fixture)
