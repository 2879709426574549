"""Exactly-once processing with Kafka and PostgreSQL: the loop, the recovery, the relay."""

from exactly_once.codec import Codec
from exactly_once.errors import Fenced, Halted, NotPermitted, RejectRecord, Retryable
from exactly_once.event import Event
from exactly_once.kafka.permissions import check_permissions
from exactly_once.kafka.security import Auth
from exactly_once.kafka.settings import KafkaSettings
from exactly_once.loop import Loop
from exactly_once.needs import Needs
from exactly_once.outbox import Outbox
from exactly_once.processor import Processor, WorkingSet
from exactly_once.registry import Registry
from exactly_once.relay import Relay

__all__ = [
    "Auth",
    "Codec",
    "Event",
    "Fenced",
    "Halted",
    "KafkaSettings",
    "Loop",
    "Needs",
    "NotPermitted",
    "Outbox",
    "Processor",
    "Registry",
    "RejectRecord",
    "Relay",
    "Retryable",
    "WorkingSet",
    "check_permissions",
]
