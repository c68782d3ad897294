"""From sources to a fixed list of shards, and the identity that a run is resumed by.

The same sources give the same shards, whatever the number of workers:

    items, sorted by URL -> groups of ceil(items / 256), at least 8 and at most 1024, and of at most
    1 GiB -> shards, numbered in order

An archive or a range of lines of a manifest is a shard by itself.

The identity says what decides the codes. A run is resumed only by an equal one. Versions of the
libraries that compute samples and codes (torch, soundfile, av) are part of it: another version may
differ in the last bit, and a code is an argmin. Other versions are recorded for people.
"""

import importlib.metadata
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from codec.base import PRECISIONS, CodecSpec
from codec.hashing import sha256_of_list, sha256_of_values
from tokenize_pipeline import storage
from tokenize_pipeline.audio_limits import AudioPolicy
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.credentials import refuse_secrets
from tokenize_pipeline.errors import ConfigurationError
from tokenize_pipeline.grouping import items_per_shard
from tokenize_pipeline.records import Shard, SourceItem
from tokenize_pipeline.sources import Found, find

FORMAT_VERSION = 1  # of the output, raised when resuming older outputs would go wrong
MAX_SHARD_BYTES = 1 << 30

_DECIDING_PACKAGES = ("torch", "soundfile", "av")
_OTHER_PACKAGES = ("tokenize-pipeline", "numpy", "pyarrow", "ray")

# What outputs were made with that are older than the key.
_FORMERLY = {"codec.precision": PRECISIONS[0]}


def plan_items(sources: Sequence[str]) -> list[SourceItem]:
    """The items of `plan_sources`."""
    return list(plan_sources(sources).items)


def plan_sources(sources: Sequence[str]) -> Found:
    """Items of all sources, sorted by URL, each file once, with unique ids.

    Ids are paths relative to their source. Where two sources would give the same one, every id is
    put behind the name of its source.

    Raises:
        ConfigurationError: a source is missing or empty, a URL holds a secret, or ids cannot be
            told apart.
    """
    found = {source: find(source) for source in sources}
    items = {item.key: item for source in reversed(sources) for item in found[source].items}
    for item in items.values():
        refuse_secrets(item.url)
    if len({item.id for item in items.values()}) < len({item.url for item in items.values()}):
        items = {key: replace(item, id=_with_source_name(item)) for key, item in items.items()}
        _check_unique(list(items.values()))
    ignored_files = sum(part.ignored_files for part in found.values())
    return Found([items[key] for key in sorted(items)], ignored_files)


def plan_shards(
    items: Sequence[SourceItem],
    identity: Mapping[str, Any],
    columns: Mapping[str, str] | None = None,
) -> list[Shard]:
    """Group items into shards; see the module for the rule.

    Args:
        items: sorted by URL.
        identity: what decides the codes.
        columns: of metadata, type by name; part of what a part is made of.
    """
    columns = columns or {}
    deciding = {**identity, "metadata_columns": columns} if columns else identity
    return [
        Shard(index, _fingerprint(group, deciding), group, columns)
        for index, group in enumerate(_groups(items))
    ]


def codec_identity(spec: CodecSpec, config: TokenizeConfig) -> dict[str, Any]:
    """What decides the codes of a recording: the codec, how it is used, which audio is taken."""
    policy = config.audio_policy
    return {
        "format_version": FORMAT_VERSION,
        "codec": json.loads(json.dumps(spec.to_dict())),
        "codec_options": config.codec_options(),
        "num_codebooks": config.codebooks(spec),
        "row_frames": config.row_frames(spec),
        "versions": _versions(_DECIDING_PACKAGES),
        **({"audio": json.loads(json.dumps(asdict(policy)))} if policy != AudioPolicy() else {}),
    }


def run_identity(codec: Mapping[str, Any], shards: Sequence[Shard]) -> dict[str, Any]:
    """What run.json holds: what decides the codes, the plan, and for people the other versions."""
    plan = {
        "sha256": sha256_of_list(item.to_dict() for shard in shards for item in shard.items),
        "items": sum(len(shard.items) for shard in shards),
        "shards": len(shards),
    }
    other = {**_versions(_OTHER_PACKAGES), "python": platform.python_version()}
    columns = dict(shards[0].columns) if shards else {}
    return {**codec, "metadata_columns": columns, "plan": plan, "other_versions": other}


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Keys in which two identities differ, as "key is A there and B here"; versions last."""
    old_values, new_values = ({**_FORMERLY, **dict(_flat(values))} for values in (old, new))
    keys = [key for key in {**old_values, **new_values} if not key.startswith("other_versions")]
    return [
        f"{key} is {old_values.get(key)!r} there and {new_values.get(key)!r} here"
        for key in sorted(keys)
        if old_values.get(key) != new_values.get(key)
    ]


def changed_items(old: Sequence[Shard], new: Sequence[Shard]) -> str:
    """In how many items two plans differ, in words; "" when in none."""
    before, after = (
        {item.key: item for shard in shards for item in shard.items} for shards in (old, new)
    )
    added, removed = len(after.keys() - before.keys()), len(before.keys() - after.keys())
    changed = sum(before[url] != after[url] for url in before.keys() & after.keys())
    counts = {"added": added, "removed": removed, "changed": changed}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def _with_source_name(item: SourceItem) -> str:
    """The id behind the name of the folder that it is relative to."""
    root = item.url.removesuffix(item.id).rstrip("/")
    return f"{storage.name_of(root)}/{item.id}"


def _check_unique(items: Sequence[SourceItem]) -> None:
    first: dict[str, str] = {}
    for item in items:
        if first.setdefault(item.id, item.url) != item.url:
            raise ConfigurationError(
                f"two recordings would have the id {item.id!r}: {first[item.id]} and {item.url}; "
                "give a folder above both as the source"
            )


def _groups(items: Sequence[SourceItem]) -> Iterator[tuple[SourceItem, ...]]:
    per_shard = items_per_shard(sum(item.recordings == 1 for item in items))
    group: list[SourceItem] = []
    size_bytes = 0
    for item in items:
        if item.recordings != 1:
            yield (item,)
            continue
        full = len(group) == per_shard or size_bytes + item.size_bytes > MAX_SHARD_BYTES
        if group and full:
            yield tuple(group)
            group, size_bytes = [], 0
        group.append(item)
        size_bytes += item.size_bytes
    if group:
        yield tuple(group)


def _fingerprint(items: Sequence[SourceItem], identity: Mapping[str, Any]) -> str:
    return sha256_of_values([[item.to_dict() for item in items], identity])[:10]


def _versions(packages: Sequence[str]) -> dict[str, str]:
    """Installed versions. What runs from a checkout without being installed has none."""
    known = {name: list(importlib.metadata.distributions(name=name)) for name in packages}
    return {name: found[0].version for name, found in known.items() if found}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
