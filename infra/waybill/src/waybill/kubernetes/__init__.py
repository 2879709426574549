"""What a Kubernetes cluster is told of the shop, derived from the contracts: resources of Strimzi and KEDA, secrets."""

from waybill.kubernetes.generated import GENERATED

__all__ = ["GENERATED"]
