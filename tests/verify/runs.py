"""Outputs of runs, made without the driver, and a codec whose loss is small and known."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from codec import Codec, CodecSpec, EncodedAudio
from tokenize_pipeline.audio import flac_bytes, open_audio
from tokenize_pipeline.commit import RunFolder
from tokenize_pipeline.records import (
    CommitRecord,
    RejectedRecording,
    Shard,
    SourceItem,
    TokenRow,
)
from tokenize_pipeline.schema import write_part

Change = Callable[[TokenRow], TokenRow]


class ScalarCodec:
    """Eight bits a sample: codebook k holds sample k of each frame of four. Mono, 8 kHz.

    With `normalizes` it works in chunks of one second, each divided by its own peak.
    """

    def __init__(self, name: str = "scalar", *, normalizes: bool = False) -> None:
        self.spec = CodecSpec(
            name=name,
            sample_rate=8000,
            channels=1,
            hop_samples=4,
            num_codebooks=4,
            codebook_size=256,
            bandwidths_kbps=(64.0,),
            chunk_samples=8000 if normalizes else None,
            stride_samples=8000 if normalizes else None,
            normalizes=normalizes,
            causal=True,
            fingerprint=hashlib.sha256(f"{name} {normalizes}".encode()).hexdigest(),
        )

    def encode(self, waveform: Tensor, num_codebooks: int | None = None) -> EncodedAudio:
        count = self.spec.check_num_codebooks(num_codebooks)
        num_samples = waveform.shape[-1]
        step = self.spec.chunk_samples or max(1, num_samples)
        chunks = [waveform[:, start : start + step] for start in range(0, num_samples, step)]
        scales = [chunk.abs().max().clamp(min=1e-8) if self._scales else 1.0 for chunk in chunks]
        codes = [_quantize(c / scale) for c, scale in zip(chunks, scales, strict=True)]
        return EncodedAudio(
            torch.cat([torch.zeros(4, 0, dtype=torch.int64), *codes], dim=1)[:count],
            torch.tensor([float(scale) for scale in scales]) if self._scales else None,
            num_samples,
        )

    def encode_stream(
        self, recordings: Iterable[Tensor | Iterable[Tensor]], num_codebooks: int | None = None
    ) -> Iterator[EncodedAudio]:
        for blocks in recordings:
            whole = blocks if isinstance(blocks, Tensor) else torch.cat(list(blocks), dim=1)
            yield self.encode(whole, num_codebooks)

    def decode(self, encoded: EncodedAudio) -> Tensor:
        return torch.cat(list(self.decode_stream(encoded)), dim=1)

    def decode_batch(self, recordings: Iterable[EncodedAudio]) -> Iterator[Tensor]:
        return map(self.decode, recordings)

    def decode_stream(self, encoded: EncodedAudio) -> Iterator[Tensor]:
        start = 0
        lengths = self.spec.chunk_lengths(encoded.num_samples)
        for index, length in enumerate(lengths):
            frames = -(-length // 4)
            samples = encoded.codes[:, start : start + frames].T.reshape(1, -1)[:, :length]
            scale = 1.0 if encoded.scales is None else float(encoded.scales[index])
            yield (samples.float() / 127.5 - 1) * scale
            start += frames

    def codebook(self, index: int) -> Tensor:
        del index  # all codebooks are alike
        return torch.linspace(-1, 1, 256)[:, None]

    @property
    def _scales(self) -> bool:
        return self.spec.normalizes


def _quantize(chunk: Tensor) -> Tensor:
    padded = torch.nn.functional.pad(chunk[0], (0, -chunk.shape[1] % 4))
    return ((padded.clamp(-1, 1) + 1) * 127.5).round().long().reshape(-1, 4).T


def write_voice(path: Path, seconds: float, seed: int) -> Path:
    """A recording at 8 kHz with the rhythm of speech: tones and noise, four bursts a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(flac_bytes(voice(seconds, seed), 8000))
    return path


def voice(seconds: float, seed: int, sample_rate: int = 8000) -> Tensor:
    """The signal of `write_voice`, [1, S]."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(round(seconds * sample_rate)) / sample_rate
    tones = sum(torch.sin(2 * torch.pi * (110 + 7 * seed) * n * time) / n for n in range(1, 9))
    noise = 0.3 * torch.randn(len(time), generator=generator)
    bursts = torch.sin(torch.pi * 4 * time).square()
    return (0.1 * bursts * (tones + noise))[None]


def make_run(
    output: Path,
    codec: Codec,
    files: list[Path],
    *,
    change: Change = lambda row: row,
    rejected: tuple[RejectedRecording, ...] = (),
    files_per_shard: int = 3,
) -> RunFolder:
    """Tokenize `files` into `output` in this process.

    Args:
        change: applied to each row before it is written.
        rejected: recordings that the last shard rejects.
    """
    folder = RunFolder(str(output))
    items = [_item(path) for path in files]
    groups = [items[i : i + files_per_shard] for i in range(0, len(items), files_per_shard)]
    shards = [Shard(i, f"{i:010x}", tuple(group)) for i, group in enumerate(groups)]
    num_codebooks = min(8, codec.spec.num_codebooks)
    identity = {"codec": codec.spec.to_dict(), "num_codebooks": num_codebooks}
    folder.start(identity, shards)
    for shard in shards:
        rows = [change(_row(item, codec, num_codebooks)) for item in shard.items]
        here = rejected if shard is shards[-1] else ()
        _commit(folder, shard, rows, codec.spec, here)
    folder.write_rejected()
    return folder


def rewrite_part(folder: RunFolder, shard: int, rows: list[TokenRow]) -> None:
    """Replace a part by other rows, and leave its commit record as it is."""
    part = folder.commits()[shard].part
    assert part is not None
    spec = CodecSpec.from_dict(folder.identity()["codec"])
    write_part(folder.part_url(part), rows, spec)


def recommit(folder: RunFolder, shard: int, rows: list[TokenRow]) -> None:
    """Replace a part by other rows, and make its commit record agree with them."""
    spec = CodecSpec.from_dict(folder.identity()["codec"])
    _commit(folder, folder.plan()[shard], rows, spec, folder.commits()[shard].rejected)


def encode_row(row: TokenRow, codec: Codec) -> TokenRow:
    """The row with the tokens that another codec gives its recording."""
    size_bytes = Path(row.source).stat().st_size
    return _row(SourceItem(row.id, row.source, size_bytes, ""), codec, len(row.codes))


def _item(path: Path) -> SourceItem:
    return SourceItem(path.name, str(path), path.stat().st_size, "")


def _row(item: SourceItem, codec: Codec, num_codebooks: int) -> TokenRow:
    with Path(item.url).open("rb") as file:
        reader = open_audio(file, item.id, codec.spec.sample_rate, codec.spec.channels)
        encoded = next(iter(codec.encode_stream([reader.blocks()], num_codebooks)))
    return TokenRow(
        id=item.id,
        codes=encoded.codes.numpy().astype(np.uint16),
        scales=None if encoded.scales is None else encoded.scales.numpy(),
        num_frames=encoded.codes.shape[1],
        num_samples=encoded.num_samples,
        start_sample=0,
        source=item.url,
        source_sample_rate=reader.source_sample_rate,
        source_channels=reader.source_channels,
    )


def _commit(
    folder: RunFolder,
    shard: Shard,
    rows: list[TokenRow],
    spec: CodecSpec,
    rejected: tuple[RejectedRecording, ...],
) -> None:
    path = Path(folder.part_url(shard.part_name))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_part(path, rows, spec)
    data = path.read_bytes()
    record = CommitRecord(
        shard=shard.index,
        part=shard.part_name,
        recordings=len(rows) + len(rejected),
        rows=len(rows),
        seconds=sum(row.num_samples for row in rows) / spec.sample_rate,
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        rejected=rejected,
        attempts=1,
    )
    folder.commit(record)


def with_codes(row: TokenRow, codes: np.ndarray) -> TokenRow:
    """The row with other codes."""
    return replace(row, codes=np.ascontiguousarray(codes))
