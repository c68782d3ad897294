"""Shards and commit records as JSON, and back. Nothing that was changed is believed."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from codec.hashing import sha256_of_values
from tokenize_pipeline.records import (
    CommitRecord,
    FailedShard,
    RejectedRecording,
    Shard,
    SourceItem,
)


def shard_to_json(shard: Shard) -> str:
    """A shard as one line."""
    items = [item.to_dict() for item in shard.items]
    return json.dumps({**vars(shard), "items": items, "columns": dict(shard.columns)})


def shard_from_json(line: str | bytes) -> Shard:
    """The shard of a line; ValueError, KeyError or TypeError if it holds none."""
    values = json.loads(line)
    items = tuple(SourceItem(**item) for item in values["items"])
    return Shard(values["index"], values["fingerprint"], items, values.get("columns", {}))


def commit_to_bytes(record: CommitRecord) -> bytes:
    """A commit record with a hash of itself."""
    values = asdict(record)
    return to_bytes({**values, "record_sha256": sha256_of_values(values)})


def commit_from_bytes(data: bytes) -> CommitRecord | None:
    """The record, or None for bytes that are not exactly what was written."""
    try:
        values = json.loads(data)
        if values.pop("record_sha256") != sha256_of_values(values):
            return None
        rejected = tuple(RejectedRecording(**item) for item in values.pop("rejected"))
        return CommitRecord(**values, rejected=rejected)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def failed_to_bytes(failed: FailedShard) -> bytes:
    """A shard that was given up, for people."""
    return to_bytes(
        {
            "shard": failed.shard.index,
            "attempts": failed.attempts,
            "cause": failed.cause,
            "items": [item.id for item in failed.shard.items],
        }
    )


def to_bytes(values: Mapping[str, Any]) -> bytes:
    """Values as JSON that people can read too."""
    return (json.dumps(values, indent=1, sort_keys=True) + "\n").encode()
