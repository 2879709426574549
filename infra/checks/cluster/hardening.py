"""How Pods are locked in, asked after, stopped, spread and reached."""

from collections.abc import Iterator, Sequence
from typing import Any

from chassis import health
from cluster.pods import Container, Pod, pods, services
from waybill.kubernetes.resource import Resource
from waybill.local.shop import STOP_DEADLINE_S

LOCKED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
ASKED = {"startupProbe": "/health/live", "livenessProbe": "/health/live", "readinessProbe": "/health/ready"}
HOSTS = ("hostNetwork", "hostPID", "hostIPC")


def problems(resources: Sequence[Resource]) -> Iterator[str]:
    """Yield what a Pod could do that it need not, and what would make it die or be missed."""
    for pod in pods(resources):
        yield from _pod(pod)
        yield from (problem for each in pod.containers for problem in _container(each))
    accounts = {each["metadata"]["name"]: each for each in resources if each["kind"] == "ServiceAccount"}
    for pod in pods(resources):
        account = accounts.get(pod.spec.get("serviceAccountName", "default"), {})
        if (
            pod.spec.get("automountServiceAccountToken") is not False
            or account.get("automountServiceAccountToken") is not False
        ):
            yield f"{pod}: is given a token of the cluster's API"
    for pod in services(resources):
        yield from _service(pod)
        yield from _kept(pod, resources)
    yield from _reached(resources)


def _pod(pod: Pod) -> Iterator[str]:
    context = pod.spec.get("securityContext", {})
    if not (context.get("runAsNonRoot") and context.get("runAsUser", 0) > 0):
        yield f"{pod}: may run as root"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield f"{pod}: may make any system call"
    if any(pod.spec.get(name) for name in HOSTS) or any("hostPath" in each for each in pod.spec.get("volumes", [])):
        yield f"{pod}: reaches into its node"
    if pod.spec.get("enableServiceLinks") is not False:
        yield f"{pod}: is told of every Service by variables"


def _container(container: Container) -> Iterator[str]:
    context, resources = container.raw.get("securityContext", {}), container.raw.get("resources", {})
    yield from (f"{container}: {name} is not {value}" for name, value in LOCKED.items() if context.get(name) != value)
    if "memory" not in resources.get("limits", {}) or not {"cpu", "memory"} <= resources.get("requests", {}).keys():
        yield f"{container}: says not what it needs"


def _service(pod: Pod) -> Iterator[str]:
    routes = {getattr(route, "path", "") for route in health.router.routes}
    (main,) = (each for each in pod.containers if each.raw["name"] == "service")
    port = _ports(pod).get("http")
    if str(port) != main.env.get("WAYBILL_HTTP_PORT"):
        yield f"{pod}: listens on {main.env.get('WAYBILL_HTTP_PORT')}, not on {port}"
    for probe, path in ASKED.items():
        asked = main.raw.get(probe, {}).get("httpGet", {})
        if asked != {"path": path, "port": "http"} or path not in routes:
            yield f"{pod}: {probe} asks {asked.get('path')}"
    grace = pod.spec["terminationGracePeriodSeconds"]
    pause = main.raw.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    if grace < pause + STOP_DEADLINE_S:
        yield f"{pod}: is killed after {grace} s, but pauses for {pause} s and takes {STOP_DEADLINE_S:.0f} s to stop"


def _kept(pod: Pod, resources: Sequence[Resource]) -> Iterator[str]:
    budgets = [each["spec"] for each in resources if each["kind"] == "PodDisruptionBudget"]
    if not any(_selects(each["selector"]["matchLabels"], pod) and each.get("maxUnavailable") == 1 for each in budgets):
        yield f"{pod}: all of its Pods may be drained at once"
    spread = {each["topologyKey"] for each in pod.spec.get("topologySpreadConstraints", [])}
    if not {"kubernetes.io/hostname", "topology.kubernetes.io/zone"} <= spread:
        yield f"{pod}: may lie on one node"


def _reached(resources: Sequence[Resource]) -> Iterator[str]:
    """Yield Services and selectors that lead to no port of no Pod."""
    for each in (each for each in resources if each["kind"] == "Service"):
        behind = [pod for pod in pods(resources) if _selects(each["spec"]["selector"], pod)]
        for port in each["spec"]["ports"]:
            if not any(port["targetPort"] in _ports(pod) for pod in behind):
                yield f"Service {each['metadata']['name']}: no Pod has the port {port['targetPort']}"
    for each in (each for each in resources if each["kind"] in {"Deployment", "StatefulSet"}):
        labels = each["spec"]["template"]["metadata"]["labels"].items()
        if not each["spec"]["selector"]["matchLabels"].items() <= labels:
            yield f"{each['kind']} {each['metadata']['name']}: does not select its own Pods"


def _selects(labels: dict[str, str], pod: Pod) -> bool:
    return labels.items() <= pod.labels.items()


def _ports(pod: Pod) -> dict[str, Any]:
    return {port["name"]: port["containerPort"] for each in pod.containers for port in each.raw.get("ports", [])}
