"""Encodes audio and counts how often each entry is used.

Dimension key: K codebooks, T frames, E entries.
"""

import sys
from collections import deque
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from codec import Codec
from tokenize_pipeline.codebooks.figures import CodebooksReport, codebook_figures
from tokenize_pipeline.decode_ahead import DecodeAhead, DecodedRecording
from tokenize_pipeline.errors import ConfigurationError
from tokenize_pipeline.sources import find_items, read_recordings


def survey(codec: Codec, sources: Sequence[str], num_codebooks: int | None) -> CodebooksReport:
    """Looks at the first `num_codebooks` codebooks over all audio of the sources; None: at all.

    Raises:
        ConfigurationError: a source does not exist, or none of it can be read.
        UnsupportedBandwidthError: the codec has fewer codebooks.
    """
    count = codec.spec.check_num_codebooks(num_codebooks)
    items = [item for source in sources for item in find_items(source)]
    recordings = (recording for item in items for recording in read_recordings(item))
    uses_KE = torch.zeros(count, codec.spec.codebook_size, dtype=torch.int64)
    samples, encoded, rejected = 0, 0, 0
    with DecodeAhead(recordings, codec.spec.sample_rate, codec.spec.channels) as decoded:
        for recording, codes_KT in _encoded(codec, decoded, count):
            if recording.rejected is not None:
                rejected += 1
                continue
            encoded += 1
            samples += recording.num_samples
            for k in range(count):
                uses_KE[k] += torch.bincount(codes_KT[k], minlength=codec.spec.codebook_size)
    if not samples:
        raise ConfigurationError(f"none of the {rejected} recordings could be read")
    return CodebooksReport(
        spec=codec.spec,
        recordings=encoded,
        rejected=rejected,
        seconds=samples / codec.spec.sample_rate,
        codebooks=tuple(
            codebook_figures(codec.codebook(k).cpu(), uses_KE[k]) for k in range(count)
        ),
    )


def _encoded(
    codec: Codec, decoded: DecodeAhead, num_codebooks: int
) -> Iterator[tuple[DecodedRecording, Tensor]]:
    """Recordings with their codes [K, T], in order; a bar shows how far it is on a terminal."""
    waiting: deque[DecodedRecording] = deque()

    def streams() -> Iterator[DecodedRecording]:
        for recording in decoded:
            waiting.append(recording)
            yield recording

    bar = tqdm(unit="rec", dynamic_ncols=True, disable=not sys.stderr.isatty(), leave=False)
    with bar:
        for encoded in codec.encode_stream(streams(), num_codebooks):
            bar.update(1)
            yield waiting.popleft(), encoded.codes.cpu()
