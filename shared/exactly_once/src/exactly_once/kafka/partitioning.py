"""Which partition a key belongs to: the producers' own murmur2, for whoever must know it before sending."""

from functools import lru_cache

from aiokafka.partitioner import murmur2

POSITIVE = 0x7FFFFFFF
KEYS_REMEMBERED = 10_000  # what is told of one order has one key, and murmur2 is written in Python


@lru_cache(KEYS_REMEMBERED)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key in a topic with so many."""
    number: int = (murmur2(key) & POSITIVE) % partitions
    return number
