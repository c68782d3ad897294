"""How many recordings a shard has, when it may have as many as one likes."""

TARGET_SHARDS = 256
MIN_SHARD_ITEMS, MAX_SHARD_ITEMS = 8, 1024


def items_per_shard(num_items: int) -> int:
    """Recordings in a shard of a source that has so many."""
    return min(max(-(-num_items // TARGET_SHARDS), MIN_SHARD_ITEMS), MAX_SHARD_ITEMS)
