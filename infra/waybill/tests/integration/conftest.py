"""A namespace with everything that a shop needs but its processes: provisioned, and its databases migrated."""

import asyncio
import os
from pathlib import Path

import pytest

from chassis.migrate import MigrationSettings, migrate
from waybill import provision
from waybill.local import shop
from waybill.stack import Stack


def migrate_all(stack: Stack) -> None:
    prefix = "WAYBILL_POSTGRES_"
    for service in shop.migrated():
        environment = shop.migration_environment(stack, service)
        given = {name.removeprefix(prefix).lower(): value for name, value in environment.items() if prefix in name}
        migrate(service, MigrationSettings.model_validate(given))


@pytest.fixture(scope="session")
def migrated_stack(stack: Stack) -> Stack:
    """The shop's databases in a namespace, as the services find them when they start."""
    mine = stack.in_namespace(f"m{os.getpid() % 100_000}")
    asyncio.run(provision.apply(mine))
    migrate_all(mine)
    shop.ensure_gateway_keys(mine)
    return mine


@pytest.fixture(scope="session")
def security() -> str:
    """What SECURITY.md says."""
    return (Path(__file__).parents[4] / "SECURITY.md").read_text()
