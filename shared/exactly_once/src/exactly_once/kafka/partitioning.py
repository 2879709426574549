"""Which partition a key belongs to: the producers' own murmur2, for whoever must know it before sending."""

from aiokafka.partitioner import murmur2

POSITIVE = 0x7FFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key in a topic with so many."""
    number: int = (murmur2(key) & POSITIVE) % partitions
    return number
