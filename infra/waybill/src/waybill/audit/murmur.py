"""Which partition a key belongs to: murmur2 as Kafka's default partitioner defines it, written anew for the audit."""

from functools import lru_cache

SEED = 0x9747B28C
FACTOR = 0x5BD1E995
WORD = 0xFFFFFFFF


@lru_cache(maxsize=200_000)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key among so many."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """Return the 32-bit murmur2 hash."""
    whole = len(data) & ~3
    mixed = (SEED ^ len(data)) & WORD
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * FACTOR & WORD
        word = (word ^ (word >> 24)) * FACTOR & WORD
        mixed = (mixed * FACTOR & WORD) ^ word
    if len(data) > whole:
        mixed = (mixed ^ int.from_bytes(data[whole:], "little")) * FACTOR & WORD
    mixed = (mixed ^ (mixed >> 13)) * FACTOR & WORD
    return mixed ^ (mixed >> 15)
