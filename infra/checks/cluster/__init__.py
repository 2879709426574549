"""What must hold in a rendered set of manifests, so that what would fail in a cluster fails before it gets there."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from cluster import agreement, hardening, images, network, scaling, schemas, secrets, settings
from waybill.kubernetes.resource import Resource

CHECKS: tuple[Callable[[Sequence[Resource]], Iterable[str]], ...] = (
    schemas.problems,
    agreement.problems,
    settings.problems,
    secrets.problems,
    hardening.problems,
    images.problems,
    network.problems,
    scaling.problems,
)


def problems(resources: Sequence[Resource]) -> Iterator[str]:
    """Yield a sentence for everything that is wrong with these manifests."""
    for check in CHECKS:
        yield from check(resources)
