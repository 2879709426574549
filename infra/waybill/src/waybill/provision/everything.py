"""All parts together: what a namespace needs in PostgreSQL, Kafka and the registry."""

import asyncio

from waybill.provision.changes import Plan
from waybill.provision.kafka import plan_kafka, provision_kafka
from waybill.provision.postgres import plan_postgres, provision_postgres
from waybill.provision.registry import plan_registry, provision_registry
from waybill.stack import Stack


async def plan(stack: Stack) -> Plan:
    """Return what `apply` would make or change; changes nothing."""
    return Plan.joined(await asyncio.gather(plan_postgres(stack), plan_kafka(stack), plan_registry(stack)))


async def apply(stack: Stack) -> Plan:
    """Make everything as the contracts say, and return what that took. Twice in a row: the second has nothing to do.

    Conflicts in the plan are what no command can change: they stay.
    """
    parts = (provision_postgres(stack), provision_kafka(stack), provision_registry(stack))
    return Plan.joined(await asyncio.gather(*parts))
