"""What the contracts say, made true in PostgreSQL, Kafka and the registry; and what has drifted from it."""

from waybill.provision.changes import Change, Plan
from waybill.provision.everything import apply, plan
from waybill.provision.kafka import provision_kafka
from waybill.provision.postgres import provision_postgres
from waybill.provision.registry import provision_registry

__all__ = ["Change", "Plan", "apply", "plan", "provision_kafka", "provision_postgres", "provision_registry"]
