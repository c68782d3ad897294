"""Codes that change with the number format: share of them that differ, codebook by codebook.

Dimension key: B batch, C channels, S samples, K codebooks, T frames.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from codec.encodec import EncodecModel
from tokenize_pipeline.benchmark.ours import make_codec
from tokenize_pipeline.benchmark.precision import BFLOAT16, FLOAT32, tf32
from tokenize_pipeline.benchmark.reference import TransformersSide
from tokenize_pipeline.benchmark.task import Task
from tokenize_pipeline.benchmark.weights import random_model

Shares = tuple[float, ...]  # a codebook each, 0 to 1


def flip_shares(wanted: Sequence[Tensor], found: Sequence[Tensor]) -> Shares:
    """Share of codes that differ, of all frames of all recordings; both are lists of [K, T].

    Raises:
        ValueError: the lists hold codes of different recordings.
    """
    shapes = [[tuple(codes_KT.shape) for codes_KT in codes] for codes in (wanted, found)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"codes of shapes {shapes[1]} cannot be compared with {shapes[0]}")
    differing_KT = torch.cat(list(wanted), dim=1) != torch.cat(list(found), dim=1)
    return tuple(differing_KT.double().mean(dim=1).tolist())


def measure_flips(task: Task, reference: TransformersSide) -> dict[str, Shares | None]:
    """Shares of codes that differ from ours in float32; None where there is no such format.

    Transformers encodes one recording at a time here, for padding changes its codes. On a GPU it
    should be kept from TF32. Our codec never uses TF32, so for that row our bare model runs over
    whole recordings.
    """
    wanted = _our_codes(task, FLOAT32)
    return {
        "transformers, unpadded": flip_shares(wanted, reference.codes_one_by_one()),
        "ours, bfloat16": flip_shares(wanted, _our_codes(task, BFLOAT16)),
        "ours, TF32": (flip_shares(wanted, _tf32_codes(task)) if task.device == "cuda" else None),
    }


def _our_codes(task: Task, precision: str) -> list[Tensor]:
    codec = make_codec(task, precision)
    return [
        encoded.codes.cpu() for encoded in codec.encode_stream(task.waveforms(), task.num_codebooks)
    ]


def _tf32_codes(task: Task) -> list[Tensor]:
    model = random_model(task.config, task.device)
    with tf32(True), torch.inference_mode():
        return [
            torch.cat(
                [_chunk_codes(model, task, chunk_CS) for chunk_CS in _chunks(task, audio_CS)], 1
            )
            for audio_CS in task.waveforms()
        ]


def _chunks(task: Task, audio_CS: Tensor) -> list[Tensor]:
    return [audio_CS[:, chunk.start : chunk.stop] for chunk in task.chunks(audio_CS.shape[1])]


def _chunk_codes(model: EncodecModel, task: Task, chunk_CS: Tensor) -> Tensor:
    codes_BKT, _ = model.encode_chunk(chunk_CS[None].to(task.device), task.num_codebooks)
    return codes_BKT[0].cpu()
