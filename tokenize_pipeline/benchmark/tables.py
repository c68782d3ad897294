"""The figures as text: Markdown tables that line up, so that they read on a screen too."""

from collections.abc import Sequence

from tokenize_pipeline.benchmark.limits import MachineLimits
from tokenize_pipeline.benchmark.result import BenchmarkResult, Row, VariantResult
from tokenize_pipeline.benchmark.rounds import Spread

_NOTHING = "-"


def benchmark_text(result: BenchmarkResult) -> str:
    """All tables of a run, as Markdown."""
    machine = result.machine
    gpu = "" if machine.gpu is None else f", {machine.gpu}"
    parts = [
        f"Machine: {machine.cpu}, {machine.cores} cores{gpu}. Device {result.device}, "
        f"{result.threads} CPU threads. Python {machine.python}, torch {machine.torch}, "
        f"transformers {machine.transformers}. Commit: {machine.commit}. Command:",
        f"    {result.command}",
        *(part for variant in result.variants for part in _variant(variant, result.rounds)),
        "### Limits of the machine",
        _limits(result.limits),
    ]
    return "\n\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, figures to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(head), line(rule), *map(line, rows)])


def spread_text(spread: Spread, digits: int) -> str:
    """Median, and in brackets smallest and largest."""
    low, high = f"{spread.low:.{digits}f}", f"{spread.high:.{digits}f}"
    return f"{spread.median:.{digits}f} ({low} to {high})"


def _variant(result: VariantResult, rounds: int) -> list[str]:
    gflop = [f"{d} {flop / 1e9:.2f}" for d, flop in result.flop_per_audio_second.items()]
    return [
        f"### {result.variant}: {result.num_codebooks} codebooks, {result.bandwidth_kbps:g} kbps",
        f"{result.recordings} recordings, {result.audio_seconds:.0f} s, {result.channels} "
        f"channel(s) at {result.sample_rate} Hz. GFLOP a second of audio: {', '.join(gflop)}. "
        f"Median of {rounds} rounds, and in brackets smallest to largest.",
        _speed(result),
        "Batch sizes of transformers, seconds for all recordings:",
        _trials(result),
        "Peak memory of a process that encodes and decodes all recordings, MB:",
        _memory(result),
        "Codes that differ from ours in float32, by codebook, %:",
        _flips(result),
    ]


def _speed(result: VariantResult) -> str:
    references = list(dict.fromkeys(name for row in result.rows for name in row.ratios))
    head = [
        *("", "x real time", "a core", *(f"times {name}" for name in references)),
        *("GFLOP/s", "limit, x real time", "reached, %"),
    ]
    return table(head, [_speed_cells(row, references) for row in result.rows])


def _speed_cells(row: Row, references: Sequence[str]) -> list[str]:
    batch = "" if row.batch_size is None else f" (batch {row.batch_size})"
    ratios = [spread_text(row.ratios[n], 2) if n in row.ratios else _NOTHING for n in references]
    return [
        f"{row.direction}, {row.name}{batch}",
        spread_text(row.times_real, 1),
        _NOTHING if row.times_real_a_core is None else f"{row.times_real_a_core:.1f}",
        *ratios,
        f"{row.gflops:.0f}",
        f"{row.limit_times_real:.0f} ({row.precision})",
        f"{100 * row.share_of_limit:.0f}",
    ]


def _trials(result: VariantResult) -> str:
    rows = [
        [
            trial.name,
            str(trial.batch_size),
            _seconds(trial.encode_seconds),
            _seconds(trial.decode_seconds),
        ]
        for trial in result.trials
    ]
    return table(["", "batch", "encode", "decode"], rows)


def _memory(result: VariantResult) -> str:
    rows = [
        [
            peak.name,
            _megabytes(peak.start_bytes),
            _megabytes(peak.encode_bytes),
            _megabytes(peak.decode_bytes),
            _megabytes(peak.device_bytes),
        ]
        for peak in result.memory
    ]
    return table(["", "before", "encoded", "decoded", "on the GPU"], rows)


def _flips(result: VariantResult) -> str:
    head = ["", *(str(k + 1) for k in range(result.num_codebooks))]
    rows = [
        [name, *([_NOTHING] * result.num_codebooks if shares is None else map(_percent, shares))]
        for name, shares in result.flips.items()
    ]
    return table(head, rows)


def _limits(limits: MachineLimits) -> str:
    rows = [
        [
            f"matrix product, {limit.precision}",
            f"{limit.gflops:.0f} GFLOP/s",
            f"{limit.operation}, size {limit.size}",
        ]
        for limit in limits.products
    ]
    copy = ["memory copy, read and written", f"{limits.copy_gb_per_second:.1f} GB/s", "copy_"]
    return table(["", "most", "by"], [*rows, copy])


def _seconds(seconds: float | None) -> str:
    return "out of memory" if seconds is None else f"{seconds:.2f}"


def _megabytes(size_bytes: int | None) -> str:
    return _NOTHING if size_bytes is None else f"{size_bytes / 1e6:.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"
