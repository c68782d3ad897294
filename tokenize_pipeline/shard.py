"""The whole work on one shard, the same in a Ray actor and in a plain process.

Dimension key: C channels, S samples, K codebooks, T frames.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from codec.base import Codec, CodecSpec, EncodedAudio
from codec.exact import one_thread
from codec.hashing import sha256_of_file
from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.credentials import without_secrets
from tokenize_pipeline.decode_ahead import DecodeAhead, DecodedRecording
from tokenize_pipeline.errors import RunFailedError
from tokenize_pipeline.isolation import DecoderPool
from tokenize_pipeline.metadata import FLAGS, fit
from tokenize_pipeline.progress import Tally
from tokenize_pipeline.records import (
    CommitRecord,
    IgnoredFile,
    RejectedRecording,
    Shard,
    SourceEntry,
    TokenRow,
)
from tokenize_pipeline.schema import check_part, write_part
from tokenize_pipeline.scratch import room_in, scratch_folder
from tokenize_pipeline.source_changes import check_unchanged
from tokenize_pipeline.sources import read_recordings


def tokenize_shard(
    shard: Shard,
    codec: Codec,
    config: TokenizeConfig,
    scratch: Path | None = None,
    *,
    attempt: int = 1,
    tally: Tally | None = None,
    decoders: DecoderPool | None = None,
) -> CommitRecord:
    """Turn the recordings of a shard into one published part.

    Args:
        shard: what to read.
        codec: on the device to use.
        config: what the run was asked to do.
        scratch: local folder for the unfinished part; the system's temporary folder when None.
        attempt: how often this shard was tried, this time included.
        tally: kept up to date while the work goes on, for whoever watches.
        decoders: processes that decode, to be used by several shards; own ones when None.

    Returns:
        What the driver commits. Without rows there is no part.
    """
    spec = codec.spec
    tally = tally or Tally()
    rejected: list[RejectedRecording] = []
    threads = config.threads_per_worker
    found = (entry for item in shard.items for entry in read_recordings(item))
    entries = _counted(found, tally)
    with (
        one_thread(),  # before the decoding threads start, which take the number over
        scratch_folder("tokenize-", scratch) as folder,
        nullcontext(decoders) if decoders else DecoderPool(config.audio_policy) as pool,
        DecodeAhead(entries, spec.sample_rate, spec.channels, threads, pool) as decoded,
    ):
        encoded = _encode(codec, decoded, config.codebooks(spec), tally, rejected)
        rows = _make_rows(encoded, spec, config.row_frames(spec), shard.columns)
        part = folder / shard.part_name
        with room_in(folder):
            num_rows = write_part(part, rows, spec, shard.columns)
        check_unchanged(shard.items)
        if num_rows > 0:
            begun = time.monotonic()
            check_part(str(part), spec, num_rows)
            RunFolder(config.output).publish(part)
            tally.published_seconds = time.monotonic() - begun
        return CommitRecord(
            shard=shard.index,
            part=part.name if num_rows > 0 else None,
            recordings=tally.recordings,
            rows=num_rows,
            seconds=tally.samples / spec.sample_rate,
            sha256=_sha256(part) if num_rows > 0 else None,
            size_bytes=part.stat().st_size if num_rows > 0 else 0,
            rejected=tuple(map(_publishable, rejected)),
            attempts=attempt,
            ignored_files=tally.ignored_files,
        )


def _publishable(rejected: RejectedRecording) -> RejectedRecording:
    return replace(rejected, detail=without_secrets(rejected.detail))


def _counted(entries: Iterable[SourceEntry], tally: Tally) -> Iterator[SourceEntry]:
    """The same entries; files that make no row of any kind are counted as they pass."""
    for entry in entries:
        tally.ignored_files += isinstance(entry, IgnoredFile)
        yield entry


def _encode(
    codec: Codec,
    decoded: Iterable[DecodedRecording],
    num_codebooks: int,
    tally: Tally,
    rejected: list[RejectedRecording],
) -> Iterator[tuple[DecodedRecording, EncodedAudio]]:
    """Recordings with their codes, in order; those that cannot become tokens go to `rejected`."""
    encoding: deque[DecodedRecording] = deque()

    def streams() -> Iterator[Iterator[Tensor]]:
        for recording in decoded:
            encoding.append(recording)
            yield _tallied(recording, tally)

    for encoded in codec.encode_stream(streams(), num_codebooks):
        recording = encoding.popleft()
        tally.recordings += 1
        if recording.rejected is not None:
            tally.rejected += 1
            tally.samples -= recording.num_samples
            rejected.append(recording.rejected)
        else:
            _check_encoded(recording, encoded, num_codebooks, codec.spec)
            yield recording, encoded
    if encoding:
        raise RunFailedError(f"{codec.spec.name} gave no codes for {len(encoding)} recordings")


def _tallied(blocks: Iterable[Tensor], tally: Tally) -> Iterator[Tensor]:
    """The same blocks; their samples are counted as they pass, and the time they took to come."""
    asked = time.monotonic()
    for block_CS in blocks:
        tally.waited_seconds += time.monotonic() - asked
        tally.samples += block_CS.shape[1]
        yield block_CS
        asked = time.monotonic()


def _check_encoded(
    recording: DecodedRecording, encoded: EncodedAudio, num_codebooks: int, spec: CodecSpec
) -> None:
    """Hold a codec to its word: one number of frames for a number of samples, and all of them."""
    got = (encoded.num_samples, *encoded.codes.shape)
    frames = spec.num_frames(recording.num_samples)
    wanted = (recording.num_samples, num_codebooks, frames)
    if got != wanted:
        raise RunFailedError(
            f"{spec.name} gave (samples, codebooks, frames) {got} for {recording.recording.id}, "
            f"not {wanted}"
        )


def _make_rows(
    encoded: Iterable[tuple[DecodedRecording, EncodedAudio]],
    spec: CodecSpec,
    row_frames: int | None,
    columns: Mapping[str, str],
) -> Iterator[TokenRow]:
    """One row a recording, or rows of `row_frames` frames with ids `<id>#000000`, `<id>#000001`."""
    for decoded, tokens in encoded:
        metadata = fit(decoded.recording.metadata, columns)
        if FLAGS in columns:
            metadata[FLAGS] = list(decoded.flags)
        frames = tokens.codes.shape[1]
        if row_frames is None:
            yield _row(decoded, tokens, spec, range(frames), decoded.recording.id, metadata)
            continue
        for index, first in enumerate(range(0, frames, row_frames)):
            row_range = range(first, min(first + row_frames, frames))
            row_id = f"{decoded.recording.id}#{index:06d}"
            yield _row(decoded, tokens, spec, row_range, row_id, metadata)


def _row(
    decoded: DecodedRecording,
    tokens: EncodedAudio,
    spec: CodecSpec,
    frames: range,
    row_id: str,
    metadata: Mapping[str, Any],
) -> TokenRow:
    """The row of a range of frames. A last frame may stand for less than a hop of samples."""
    start_sample = frames.start * spec.hop_samples
    is_last = frames.stop == tokens.codes.shape[1]
    end_sample = tokens.num_samples if is_last else frames.stop * spec.hop_samples
    return TokenRow(
        id=row_id,
        codes=tokens.codes[:, frames.start : frames.stop].numpy().astype(np.uint16),
        scales=None if tokens.scales is None else tokens.scales.numpy(),
        num_frames=len(frames),
        num_samples=end_sample - start_sample,
        start_sample=start_sample,
        source=decoded.recording.source,
        source_sample_rate=decoded.source_sample_rate,
        source_channels=decoded.source_channels,
        metadata=metadata,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return sha256_of_file(file)
