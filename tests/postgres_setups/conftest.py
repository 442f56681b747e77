"""What these tests share with those of faults: a way to tell what was measured."""

from tests.faults.conftest import tell as tell
