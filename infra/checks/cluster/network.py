"""The policies permit each way through the network that a setting names, and no other among our Pods."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from cluster.needs import KAFKA, Way, needed
from cluster.pods import LABEL, Pod, pods
from waybill.kubernetes.resource import CLIENTS_PORT, CLUSTER, NAMESPACE, Resource

BROKER = {"strimzi.io/cluster": CLUSTER, "strimzi.io/kind": "Kafka", "strimzi.io/name": f"{CLUSTER}-kafka"}
DNS: tuple[str, "Labels", int] = ("kube-system", {"k8s-app": "kube-dns"}, 53)
Labels = Mapping[str, str]
STRANGER: tuple[str, Labels] = ("elsewhere", {})


class Rules(NamedTuple):
    """The policies of a set of manifests, Strimzi's for its clients included."""

    policies: list[Resource]

    @classmethod
    def of(cls, resources: Sequence[Resource]) -> "Rules":
        """Read the policies, and make the one that Strimzi makes of a listener's peers."""
        policies = [each["spec"] for each in resources if each["kind"] == "NetworkPolicy"]
        for kafka in (each for each in resources if each["kind"] == "Kafka"):
            for listener in kafka["spec"]["kafka"]["listeners"]:
                rule = {"ports": [{"port": listener["port"]}]}
                peers = listener.get("networkPolicyPeers", [])
                ingress = [rule | {"from": peers} if peers else rule]
                policies.append(
                    {"podSelector": {"matchLabels": BROKER}, "policyTypes": ["Ingress"], "ingress": ingress}
                )
        return cls(policies)

    def permit(self, source: Labels, target: Labels, port: int) -> bool:
        """Tell whether Pods with these labels, in our namespace, may speak to each other."""
        out = self._side(source, "Egress", (NAMESPACE, target), port)
        return out and self._side(target, "Ingress", (NAMESPACE, source), port)

    def permit_out(self, source: Labels, port: int) -> bool:
        """Tell whether a Pod may speak to some address outside the cluster on this port."""
        rules = self._rules(source, "Egress")
        return rules is None or any(
            _port(rule, port) and any("ipBlock" in peer for peer in rule.get("to", [])) for rule in rules
        )

    def hold_back(self, pod: Labels, direction: str) -> bool:
        """Tell whether any policy selects a Pod, so that what none permits is refused."""
        return self._rules(pod, direction) is not None

    def permit_strangers(self, target: Labels, port: int) -> bool:
        """Tell whether a Pod of just any namespace may speak to one of ours."""
        return self._side(target, "Ingress", STRANGER, port)

    def permit_names(self, source: Labels) -> bool:
        """Tell whether a Pod may ask for names."""
        return self._side(source, "Egress", DNS[:2], DNS[2])

    def _side(self, pod: Labels, direction: str, other: tuple[str, Labels], port: int) -> bool:
        rules = self._rules(pod, direction)
        if rules is None:
            return True
        peers = "to" if direction == "Egress" else "from"
        return any(
            _port(rule, port) and (peers not in rule or any(_peer(each, other) for each in rule[peers]))
            for rule in rules
        )

    def _rules(self, pod: Labels, direction: str) -> list[Resource] | None:
        """Return the rules that hold for a Pod; None where no policy selects it, so that all is permitted."""
        chosen = [
            each for each in self.policies if direction in each["policyTypes"] and _selects(each["podSelector"], pod)
        ]
        return [rule for each in chosen for rule in each.get(direction.lower(), [])] if chosen else None


def problems(resources: Sequence[Resource]) -> Iterator[str]:
    """Yield ways that are needed and closed, open and not needed, and Pods that no policy holds back."""
    rules, ours, ways = Rules.of(resources), pods(resources), set(needed(resources))
    for way in sorted(ways):
        source = next(pod for pod in ours if pod.labels[LABEL] == way.source)
        if not _open(rules, source, way, ours):
            yield f"{way.source} may not speak to {way.target} on {way.port}"
    for name, labels, port in _targets(ours):
        if rules.permit_strangers(labels, port):
            yield f"whoever is in the cluster may speak to {name} on {port}"
    for source in ours:
        yield from _held_back(rules, source)
        yield from (
            f"{source.labels[LABEL]} may speak to {name} on {port}, and never has to"
            for name, labels, port in _targets(ours)
            if Way(source.labels[LABEL], name, port) not in ways
            and source.labels != labels
            and rules.permit(source.labels, labels, port)
        )


def _held_back(rules: Rules, pod: Pod) -> Iterator[str]:
    name = pod.labels[LABEL]
    if not rules.permit_names(pod.labels):
        yield f"{name} may not ask for names"
    for direction in ("Ingress", "Egress"):
        if not rules.hold_back(pod.labels, direction):
            yield f"{name}: no policy holds back its {direction}"


def _open(rules: Rules, source: Pod, way: Way, ours: list[Pod]) -> bool:
    for name, labels, port in _targets(ours):
        if (name, port) == (way.target, way.port):
            return rules.permit(source.labels, labels, port)
    return rules.permit_out(source.labels, way.port)


def _targets(ours: list[Pod]) -> Iterator[tuple[str, Labels, int]]:
    yield KAFKA, BROKER, CLIENTS_PORT
    for pod in ours:
        for container in pod.containers:
            for port in container.raw.get("ports", []):
                yield pod.labels[LABEL], pod.labels, port["containerPort"]


def _port(rule: Resource, port: int) -> bool:
    return "ports" not in rule or any(each["port"] == port for each in rule["ports"])


def _peer(peer: Resource, other: tuple[str, Labels]) -> bool:
    namespace, labels = other
    if "ipBlock" in peer:
        return False
    chosen = peer.get("namespaceSelector")
    inside = namespace == NAMESPACE if chosen is None else _selects(chosen, {"kubernetes.io/metadata.name": namespace})
    return inside and _selects(peer.get("podSelector", {}), labels)


def _selects(selector: Resource, labels: Labels) -> bool:
    if not selector.get("matchLabels", {}).items() <= labels.items():
        return False
    for each in selector.get("matchExpressions", []):
        match each["operator"]:
            case "In":
                holds = labels.get(each["key"]) in each["values"]
            case "DoesNotExist":
                holds = each["key"] not in labels
            case other:
                raise NotImplementedError(f"a selector by {other}")
        if not holds:
            return False
    return True
