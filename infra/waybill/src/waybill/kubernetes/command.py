"""`waybill secrets`: what a Kubernetes cluster must be given before the shop."""

import json
import sys

from waybill.errors import UsageError
from waybill.home import home_folder
from waybill.kubernetes.resource import BOOTSTRAP
from waybill.kubernetes.secrets import manifest, stack
from waybill.secrets import write
from waybill.stack import STACK_FILE, Stack


def secrets() -> None:
    """Print a Kubernetes cluster's secrets for `kubectl apply -f -`; they are made once, and kept in WAYBILL_HOME."""
    home = home_folder()
    if (home / STACK_FILE).exists() and Stack.load(home).kafka_bootstrap != BOOTSTRAP:
        raise UsageError(f"{home} belongs to a stack on this machine: give the cluster another WAYBILL_HOME")
    if sys.stdout.isatty():
        raise UsageError("a terminal is no place for secrets: waybill secrets | kubectl apply -n waybill -f -")
    write(home / STACK_FILE, stack(home).model_dump_json(indent=1))
    print(json.dumps(manifest(home)))
