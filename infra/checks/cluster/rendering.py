"""What kustomize makes of an overlay: the kustomize that is built into kubectl, which a locked package brings."""

import subprocess
import sysconfig
from pathlib import Path

import yaml

from waybill.kubernetes.resource import Resource

KUBECTL = Path(sysconfig.get_path("scripts")) / "kubectl"


def build(folder: Path) -> list[Resource]:
    """Return an overlay's resources. CalledProcessError: it can't be built, as standard error says."""
    done = subprocess.run([KUBECTL, "kustomize", folder], stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    return list(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader))
