"""All parts together: what a namespace needs in PostgreSQL, Kafka and the registry."""

import asyncio
from collections.abc import Collection

from waybill.provision.changes import Part, Plan
from waybill.provision.kafka import plan_kafka, provision_kafka
from waybill.provision.postgres import plan_postgres, provision_postgres
from waybill.provision.registry import plan_registry, provision_registry
from waybill.stack import Stack

PARTS: tuple[Part, ...] = ("postgres", "kafka", "registry")
LOOKING = {"postgres": plan_postgres, "kafka": plan_kafka, "registry": plan_registry}
MAKING = {"postgres": provision_postgres, "kafka": provision_kafka, "registry": provision_registry}


async def plan(stack: Stack, parts: Collection[Part] = PARTS) -> Plan:
    """Return what `apply` would make or change; changes nothing."""
    return Plan.joined(await asyncio.gather(*(LOOKING[part](stack) for part in parts)))


async def apply(stack: Stack, parts: Collection[Part] = PARTS) -> Plan:
    """Make everything as the contracts say, and return what that took. Twice in a row: the second has nothing to do.

    Conflicts in the plan are what no command can change: they stay.
    """
    return Plan.joined(await asyncio.gather(*(MAKING[part](stack) for part in parts)))
