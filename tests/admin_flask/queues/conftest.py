"""Queues to look at: what waits, runs and failed, put there by the workers' own storage."""

from tests.core.services.queues.conftest import bury, storage

__all__ = ["bury", "storage"]
