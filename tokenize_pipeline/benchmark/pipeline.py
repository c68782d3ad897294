"""What the pipeline leaves of a codec's speed: python jobs/benchmark.py pipeline AUDIO...

The same recordings, in turns, x real time:

    encode alone   waveforms that lie in memory -> codec
    end to end     files -> decode, resample, mix -> codec -> rows -> Parquet, checked and published
    read alone     files -> decode, resample, mix
    free codec     end to end with a codec that costs nothing

Dimension key: C channels, S samples, K codebooks, T frames.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from codec import Codec, CodecSpec, EncodedAudio
from codec.base import Waveform
from codec.exact import one_thread
from tokenize_pipeline.benchmark.machine import available_cores
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.decode_ahead import DecodeAhead
from tokenize_pipeline.isolation import DecoderPool
from tokenize_pipeline.plan import codec_identity, plan_items, plan_shards
from tokenize_pipeline.records import Shard
from tokenize_pipeline.shard import tokenize_shard
from tokenize_pipeline.sources import read_recordings
from tokenize_pipeline.worker import open_codec

WANTED = {"end to end": ("encode alone", 0.9), "free codec": ("read alone", 0.6)}


class FreeCodec:
    """Takes its input and gives codes of the right shape without looking at it."""

    def __init__(self, spec: CodecSpec) -> None:
        self.spec = spec

    def encode_stream(
        self, recordings: Iterable[Waveform], num_codebooks: int | None = None
    ) -> Iterator[EncodedAudio]:
        """The same codes for every recording of a length."""
        codebooks = self.spec.check_num_codebooks(num_codebooks)
        codes_KS = torch.arange(1 << 20).remainder(self.spec.codebook_size)
        for recording in recordings:
            num_samples = sum(block_CS.shape[1] for block_CS in _blocks(recording))
            frames = self.spec.num_frames(num_samples)
            scales = torch.ones(len(self.spec.chunk_lengths(num_samples)))
            codes_KT = codes_KS[torch.arange(codebooks * frames) % len(codes_KS)]
            yield EncodedAudio(
                codes_KT.view(codebooks, frames),
                scales if self.spec.normalizes else None,
                num_samples,
            )


def main(argv: Sequence[str]) -> int:
    """Runs the benchmark; 1 if the pipeline leaves less than it should."""
    options = _options(argv)
    config = TokenizeConfig(
        tuple(options.audio), "unused", options.codec, cpus_per_worker=options.threads
    )
    codec = open_codec(config)
    shards = plan_shards(plan_items(config.sources), codec_identity(codec.spec, config))
    contestants = _contestants(config, codec, shards)
    seconds = contestants["read alone"]()  # warms up the files, and counts
    contestants["encode alone"]()
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(options.rounds):
        for name, run in contestants.items():
            begun = time.perf_counter()
            assert abs(run() - seconds) < 1e-6 * seconds
            times[name].append(time.perf_counter() - begun)
    print(f"{seconds:.0f} s of audio, {codec.spec.name}, {options.threads} threads, x real time")
    for name in contestants:
        print(f"{name:13} {seconds / statistics.median(times[name]):8.1f}")
    return max(_judged(name, times) for name in WANTED)


def _judged(name: str, times: dict[str, list[float]]) -> int:
    reference, wanted = WANTED[name]
    pairs = zip(times[reference], times[name], strict=True)
    share = statistics.median(alone / whole for alone, whole in pairs)
    print(f"{name} / {reference}: {share:.1%} (wanted: at least {wanted:.0%})")
    return int(share < wanted)


def _contestants(
    config: TokenizeConfig, codec: Codec, shards: Sequence[Shard]
) -> dict[str, Callable[[], float]]:
    """What is timed, by name; each returns the seconds of audio that it dealt with."""
    spec, codebooks = codec.spec, config.codebooks(codec.spec)
    waveforms = [torch.cat(blocks, dim=1) for blocks in _decoded(config, spec, shards) if blocks]

    def encode() -> float:
        with one_thread():
            encoded = list(codec.encode_stream(waveforms, codebooks))
        return sum(audio.num_samples for audio in encoded) / spec.sample_rate

    def read() -> float:
        lengths = (block.shape[1] for blocks in _decoded(config, spec, shards) for block in blocks)
        return sum(lengths) / spec.sample_rate

    def whole(with_codec: Codec) -> float:
        with tempfile.TemporaryDirectory(prefix="pipeline-") as folder, DecoderPool() as decoders:
            there = TokenizeConfig(
                config.sources, folder, config.codec, cpus_per_worker=config.cpus_per_worker
            )
            return sum(
                tokenize_shard(shard, with_codec, there, decoders=decoders).seconds
                for shard in shards
            )

    free: Codec = FreeCodec(spec)  # type: ignore[assignment]  # nobody decodes
    return {
        "encode alone": encode,
        "end to end": lambda: whole(codec),
        "read alone": read,
        "free codec": lambda: whole(free),
    }


def _decoded(
    config: TokenizeConfig, spec: CodecSpec, shards: Sequence[Shard]
) -> Iterator[list[Tensor]]:
    """Blocks of every recording that can be decoded."""
    entries = (entry for shard in shards for i in shard.items for entry in read_recordings(i))
    threads = config.threads_per_worker
    with (
        one_thread(),
        DecoderPool() as pool,
        DecodeAhead(entries, spec.sample_rate, spec.channels, threads, pool) as decoded,
    ):
        for recording in decoded:
            blocks = list(recording)
            if recording.rejected is None:
                yield blocks


def _blocks(recording: Waveform) -> Iterable[Tensor]:
    return [recording] if isinstance(recording, Tensor) else recording


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="jobs/benchmark.py pipeline",
        description="Times the pipeline against its codec alone and its reading side alone.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("audio", nargs="+", metavar="AUDIO", help="file, folder or glob")
    parser.add_argument("--codec", default="tiny_24khz", metavar="NAME", help="name or path")
    parser.add_argument("--threads", type=int, default=available_cores(), metavar="N", help="CPUs")
    parser.add_argument(
        "--rounds", type=int, default=3, metavar="R", help="times that all is timed"
    )
    return parser.parse_args(argv)
