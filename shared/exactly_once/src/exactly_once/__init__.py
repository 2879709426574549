"""Exactly-once processing with Kafka and PostgreSQL: the loop, the recovery, the relay."""

from exactly_once.errors import Fenced, Halted, RejectRecord, Retryable
from exactly_once.event import Event
from exactly_once.processor import Processor, WorkingSet

__all__ = ["Event", "Fenced", "Halted", "Processor", "RejectRecord", "Retryable", "WorkingSet"]
