"""Which partition a key belongs to: the producers' own murmur2, for whoever must know it before sending."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from random import randrange

from aiokafka.partitioner import murmur2

from exactly_once.batch import Output, Partition

POSITIVE = 0x7FFFFFFF
KEYS_REMEMBERED = 10_000  # keys come again, and murmur2 is written in Python
LONGEST_REMEMBERED = 200  # bytes: a foreign key may be as large as a record


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key in a topic with so many."""
    hashed = _remembered(key) if len(key) <= LONGEST_REMEMBERED else murmur2(key)
    return (hashed & POSITIVE) % partitions


@lru_cache(KEYS_REMEMBERED)
def _remembered(key: bytes) -> int:
    hashed: int = murmur2(key)
    return hashed


def placed(outputs: Iterable[Output], partitions: Mapping[str, int]) -> dict[Partition, list[Output]]:
    """Return outputs by where they belong, in order, given how many partitions each topic has."""
    places: dict[Partition, list[Output]] = {}
    for output in outputs:
        most = partitions[output.out_topic]
        number = randrange(most) if output.key is None else partition_of(output.key, most)  # noqa: S311  # any will do
        places.setdefault(Partition(output.out_topic, number), []).append(output)
    return places
