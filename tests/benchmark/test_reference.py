"""Transformers at its best: batches, codes, audio, the choice of a batch size."""

import pytest
import torch

from codec.encodec import EncodecModel
from tests.benchmark.tasks import CONFIGS, small_task
from tokenize_pipeline.benchmark import batch_sizes
from tokenize_pipeline.benchmark.batch_sizes import (
    BatchTrial,
    best_batch_sizes,
    try_batch_sizes,
)
from tokenize_pipeline.benchmark.ours import our_contestant
from tokenize_pipeline.benchmark.padded_batches import padded_batches
from tokenize_pipeline.benchmark.reference import TransformersSide, reference_contestant
from tokenize_pipeline.benchmark.transformers_model import make_reference
from tokenize_pipeline.benchmark.weights import random_model
from tokenize_pipeline.errors import ConfigurationError

LENGTHS = (0.9, 0.3, 1.7, 0.5, 1.1)


def test_batches_are_sorted_and_hold_every_recording_once() -> None:
    waveforms = small_task("48khz", *LENGTHS).waveforms()
    batches = padded_batches(waveforms, 2)
    assert [batch.rows for batch in batches] == [(1, 3), (0, 4), (2,)]
    for batch in batches:
        assert batch.audio.shape == (len(batch.rows), 2, max(batch.lengths))
        for place, row in enumerate(batch.rows):
            length = waveforms[row].shape[1]
            assert torch.equal(batch.audio[place, :, :length], waveforms[row])
            assert not batch.audio[place, :, length:].any()
            assert batch.mask[place].tolist() == [i < length for i in range(max(batch.lengths))]


@pytest.mark.parametrize("variant", CONFIGS)
def test_both_models_have_the_same_weights(variant: str) -> None:
    ours = random_model(CONFIGS[variant], "cpu")
    theirs = make_reference(ours)
    z_BDT = torch.randn(1, CONFIGS[variant].hidden_size, 5)
    audio_BCS = torch.randn(1, CONFIGS[variant].audio_channels, 3200)
    with torch.no_grad():
        pairs = [
            (ours.decoder(z_BDT), theirs.decoder(z_BDT)),
            (ours.encoder(audio_BCS), theirs.encoder(audio_BCS)),
        ]
    for found, wanted in pairs:
        assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max()


def test_weights_are_the_same_every_time() -> None:
    models = [random_model(CONFIGS["24khz"], "cpu").state_dict() for _ in range(2)]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    plain = EncodecModel(CONFIGS["24khz"]).state_dict()
    assert any(not torch.equal(models[0][name], plain[name]) for name in plain)


@pytest.mark.parametrize("variant", CONFIGS)
def test_all_contestants_decode_every_sample(variant: str) -> None:
    task = small_task(variant, *LENGTHS)
    samples = sum(audio_CS.shape[1] for audio_CS in task.recordings)
    contestants = [
        reference_contestant(task, "theirs", True, encode_batch=1, decode_batch=2),
        our_contestant(task, "float32"),
        our_contestant(task, "bfloat16"),
    ]
    for contestant in contestants:
        contestant.prepare()
        assert contestant.decode() == samples
    assert contestants[0].batch_sizes == {"encode": 1, "decode": 2}
    assert [c.is_reference for c in contestants] == [True, False, False]


def test_batch_sizes_beyond_the_recordings_are_tried_once() -> None:
    task = small_task("24khz", *LENGTHS)
    lines: list[str] = []
    side = TransformersSide(task, allow_tf32=True)
    trials = try_batch_sizes(side, "theirs", task, (8, 2, 64), lines.append)
    assert [trial.batch_size for trial in trials] == [2, 5]
    assert all((t.encode_seconds or 0) > 0 and (t.decode_seconds or 0) > 0 for t in trials)
    assert [line.partition(":")[0] for line in lines] == ["theirs, batch 2", "theirs, batch 5"]


def test_each_direction_has_its_own_best_batch_size() -> None:
    trials = [
        BatchTrial("theirs", 1, 3.0, 1.0),
        BatchTrial("theirs", 4, 2.0, 2.0),
        BatchTrial("theirs", 8, None, None),
    ]
    assert best_batch_sizes(trials) == (4, 1)


def test_short_memory_is_noted_and_never_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> BatchTrial:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(batch_sizes, "_try", fail)
    task = small_task("24khz", *LENGTHS)
    lines: list[str] = []
    side = TransformersSide(task, allow_tf32=True)
    trials = try_batch_sizes(side, "theirs", task, (1, 2), lines.append)
    assert lines == ["theirs, batch 1: out of memory", "theirs, batch 2: out of memory"]
    with pytest.raises(ConfigurationError, match="out of memory at every one of --batch-sizes"):
        best_batch_sizes(trials)
