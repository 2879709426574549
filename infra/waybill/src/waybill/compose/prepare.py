"""What prepares the stack in containers, a step a container: `python -m waybill.compose.prepare STEP`.

secrets: makes what is missing, and gives each container its own; database: PostgreSQL's part of provisioning;
migrations: each service's; topics: all of provisioning, once Kafka and the registry are healthy too.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

from waybill.compose import giving
from waybill.compose.layout import GIVEN, inside, read_layout
from waybill.errors import UsageError
from waybill.local import shop
from waybill.output import progress
from waybill.provision import apply, provision_postgres

HOME = Path("/home/waybill")  # the host's folder
OPERATOR = GIVEN / "operator"


def secrets() -> None:
    """Make what is missing in the home, and give. UsageError: a stack was given secrets that the home has lost."""
    lost = OPERATOR.exists() and not (HOME / "secrets" / "postgres-operator").exists()
    if lost:
        raise UsageError(
            "the secrets of this stack are gone from its home, and its data can't be read without them: "
            "put them back, or begin anew with `docker compose down --volumes`"
        )
    layout = read_layout()
    giving.ensure_secrets(HOME, layout)
    giving.belongs_to_its_folders_owner(HOME)
    giving.give(giving.given(HOME, layout), GIVEN)


def database() -> None:
    """Make roles, databases and privileges."""
    asyncio.run(provision_postgres(inside(OPERATOR)))


def migrations() -> None:
    """Bring each service's database to its newest version. UsageError names the one that can't be."""
    for service in shop.migrated():
        environment = shop.migration_environment(inside(OPERATOR), service)
        done = subprocess.run([sys.executable, "-m", "chassis.migrate", service], env=environment, check=False)
        if done.returncode:
            raise UsageError(f"{service}'s database can't be migrated")


def topics() -> None:
    """Make topics, users, permissions and schemas, and whatever PostgreSQL lacks."""
    found = asyncio.run(apply(inside(OPERATOR)))
    for conflict in found.conflicts:
        progress(conflict)
    progress(f"changes made: {len(found.changes)}")


STEPS = {step.__name__: step for step in (secrets, database, migrations, topics)}


def main(name: str) -> int:
    """Take a step; 2 with a sentence where it can't be taken."""
    try:
        STEPS[name]()
    except UsageError as error:
        progress(f"waybill: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
