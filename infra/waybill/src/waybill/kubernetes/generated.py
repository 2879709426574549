"""Which files under infra/kubernetes are derived, and from what."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from waybill.kubernetes.brokers import kafka, nodes
from waybill.kubernetes.resource import Resource
from waybill.kubernetes.scaling import scaling
from waybill.kubernetes.strimzi import topics, users

GENERATED: Mapping[str, Callable[[], list[Resource]]] = MappingProxyType(
    {
        "kafka/kafka.yaml": kafka,
        "kafka/nodes.yaml": nodes,
        "kafka/topics.yaml": topics,
        "kafka/users.yaml": users,
        "scaling/scaling.yaml": scaling,
    }
)
