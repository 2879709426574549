"""Test handlers without a cluster: the real loop, a broker in memory, a database of their own in a real PostgreSQL."""

from exactly_once.testing.broker import MemoryBroker
from exactly_once.testing.database import empty_database, temporary_database
from exactly_once.testing.kit import DeadLetter, TestKit
from exactly_once.testing.schemas import MemorySchemas

__all__ = ["DeadLetter", "MemoryBroker", "MemorySchemas", "TestKit", "empty_database", "temporary_database"]
