"""Our side of a benchmark: recordings in the order they come, batched by the codec itself."""

from codec import EncodedAudio
from codec.encodec import EncodecCodec
from tokenize_pipeline.benchmark.precision import BFLOAT16, FLOAT32
from tokenize_pipeline.benchmark.task import Contestant, Task
from tokenize_pipeline.benchmark.weights import random_model

OUR_PRECISIONS = (FLOAT32, BFLOAT16)


def make_codec(task: Task, precision: str) -> EncodecCodec:
    """The codec of a task, with a model of its own."""
    model = random_model(task.config, task.device)
    threads = task.threads if task.device == "cpu" else None
    return EncodecCodec(model, "benchmark", "random weights", threads=threads, precision=precision)


def our_contestant(task: Task, precision: str) -> Contestant:
    """Our codec at a precision, "float32" or "bfloat16"."""
    codec = make_codec(task, precision)
    waveforms = task.waveforms()
    encoded: list[EncodedAudio] = []

    def encode() -> object:
        return list(codec.encode_stream(waveforms, task.num_codebooks))

    def prepare() -> None:
        encoded[:] = codec.encode_stream(waveforms, task.num_codebooks)

    def decode() -> int:
        return sum(audio_CS.shape[1] for audio_CS in codec.decode_batch(encoded))

    return Contestant(f"ours, {precision}", precision, encode, prepare, decode, is_reference=False)
