"""The dataset card: README.md of an output, made from what is on disk, the same every time."""

from collections.abc import Mapping
from typing import Any

from codec.base import PRECISIONS, CodecSpec
from tokenize_pipeline.errors import REJECTION_CODES
from tokenize_pipeline.summary import RunSummary

_CARD = """\
---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/*.parquet
tags:
- audio
- neural-codec
- audio-tokens
---

<!-- The licence is that of the recordings. Say it here: add `license: ...` between the dashes. -->

# Audio tokens, {codec}

{hours:.2f} hours of audio as tokens of the neural codec `{codec}`, made by tokenize-pipeline.

| | |
|---|---|
| Recordings | {recordings}, of which {rejected} were rejected |
| Rows | {rows} |
| Hours | {hours:.2f} |
| Codec | `{codec}`, {sample_rate} Hz, {channels} |
| Fingerprint of the codec | `{fingerprint}` |
| Codebooks | {num_codebooks} of {codebook_size} entries |
| Frames | {frames_per_second:g} a second, {hop_samples} samples each |
| Bandwidth | {bandwidth_kbps:.3g} kbps |
| Chunks | {chunks} |

## Load and decode

```python
from codec import EncodedAudio, load_codec
from datasets import load_dataset
row = load_dataset("path/or/hub/id/of/this/folder", split="train").with_format("torch")[0]
encoded = EncodedAudio(row["codes"], row["scales"], int(row["num_samples"]))
audio = load_codec({load_arguments}).decode(encoded)  # [channels, samples] at {sample_rate} Hz
```

`streaming=True` works too; take `next(iter(...))` instead of `[0]`.

## Verification

{verification}

## Columns

| column | type | meaning |
|---|---|---|
| `id` | string | unique; the path of the recording below its source{row_ids} |
| `codes` | list<list<uint16>> | [{num_codebooks} codebooks][frames] |
| `scales` | list<float32> | one a chunk; null where the codec does not scale |
| `num_frames` | int32 | frames of the row |
| `num_samples` | int64 | true length in samples at {sample_rate} Hz |
| `start_sample` | int64 | where the row begins in its recording, at {sample_rate} Hz |
| `source` | string | where the recording was read |
| `source_sample_rate` | int32 | of the recording, Hz |
| `source_channels` | int32 | of the recording |
{metadata_rows}
## Rejected recordings

{rejected_list}
"""

_VERIFICATION_BEGIN, _VERIFICATION_END = "<!-- verification -->", "<!-- end of verification -->"
_NOT_VERIFIED = "These tokens were not verified yet: `python jobs/verify.py` with this folder."


def card_text(identity: Mapping[str, Any], summary: RunSummary) -> str:
    """The card of a finished run.

    Args:
        identity: of the run, as in run.json.
        summary: of its commit records.
    """
    spec = CodecSpec.from_dict(identity["codec"])
    num_codebooks = identity["num_codebooks"]
    bits = (spec.codebook_size - 1).bit_length()
    return _CARD.format(
        metadata_rows=_metadata_rows(identity.get("metadata_columns", {})),
        codec=spec.name,
        load_arguments=_load_arguments(spec, identity["codec_options"]),
        hours=summary.seconds / 3600,
        recordings=summary.recordings,
        rejected=summary.rejected,
        rows=summary.rows,
        sample_rate=spec.sample_rate,
        channels={1: "mono", 2: "stereo"}.get(spec.channels, f"{spec.channels} channels"),
        fingerprint=spec.fingerprint,
        num_codebooks=num_codebooks,
        codebook_size=spec.codebook_size,
        frames_per_second=spec.frames_per_second,
        hop_samples=spec.hop_samples,
        bandwidth_kbps=num_codebooks * bits * spec.frames_per_second / 1000,
        chunks=_chunks_text(spec),
        row_ids="" if identity["row_frames"] is None else ", with the number of the row behind `#`",
        rejected_list=_rejected_list(summary),
        verification=_marked(_NOT_VERIFIED),
    )


def with_verification(card: str, findings: str) -> str:
    """A card with its chapter on verification replaced, and all else as people have left it.

    Args:
        card: of `card_text`, perhaps edited since.
        findings: Markdown.
    """
    before, begin, rest = card.partition(_VERIFICATION_BEGIN)
    _, end, after = rest.partition(_VERIFICATION_END)
    return f"{before}{_marked(findings)}{after}" if begin and end else card


def _marked(text: str) -> str:
    return f"{_VERIFICATION_BEGIN}\n{text}\n{_VERIFICATION_END}"


def _metadata_rows(columns: Mapping[str, str]) -> str:
    """Lines of the table of columns for what came with the audio."""
    meanings = {
        "flags": "why the recording is not as it should be; empty for most",
        "metadata": "JSON: what came with the audio and has no column of its own",
    }
    types = {"json": "string", "list": "list<string>"}
    return "".join(
        f"| `{name}` | {types.get(kind, kind)} | {meanings.get(name, 'came with the audio')}"
        f"{', as JSON' if kind == 'json' and name not in meanings else ''} |\n"
        for name, kind in columns.items()
    )


def _load_arguments(spec: CodecSpec, options: Mapping[str, Any]) -> str:
    given = [f"{key}={value!r}" for key, value in options.items()]
    if spec.precision != PRECISIONS[0]:
        given.append(f'precision="{spec.precision}"')
    return ", ".join([f'"{spec.name}"', *given])


def _chunks_text(spec: CodecSpec) -> str:
    if spec.chunk_samples is None or spec.stride_samples is None:
        return "none; every recording is encoded whole"
    scaled = ", a scale each" if spec.normalizes else ""
    return f"{spec.chunk_samples} samples every {spec.stride_samples}{scaled}"


def _rejected_list(summary: RunSummary) -> str:
    """Counts by code with their meaning."""
    if not summary.rejected:
        return "None."
    lines = [
        f"- `{code}`: {count}; {REJECTION_CODES.get(code, code)}"
        for code, count in summary.rejected_by_code.items()
    ]
    return "\n".join([*lines, "", "All of them are listed in `_run/rejected.parquet`."])
