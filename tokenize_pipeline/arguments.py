"""The options of `tokenize-pipeline` and their help."""

import argparse

from codec import list_codecs
from codec.base import PRECISIONS
from tokenize_pipeline.audio_limits import KEEPABLE, MAX_SECONDS
from tokenize_pipeline.codebooks import command as codebooks
from tokenize_pipeline.config import (
    DEFAULT_CODEBOOKS,
    DEFAULT_CODEC,
    DEFAULT_MAX_REJECTED,
    DEFAULT_SHARD_TIMEOUT_SECONDS,
)
from tokenize_pipeline.verification.settings import DEFAULT_FRACTION

_EXIT_CODES = """\
exit codes:
  0  done
  1  failed; run the same command again to resume
  2  usage or configuration error; nothing was written
  3  finished, but past a limit: rejected recordings, or verification
"""


def argument_parser() -> argparse.ArgumentParser:
    """What the command line understands; `command` of its result is the name of the command."""
    parser = argparse.ArgumentParser(
        prog="tokenize-pipeline",
        description="Turn audio into datasets of neural codec tokens, and verify them.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_tokenize(commands)
    _add_verify(commands)
    _add_status(commands)
    _add_codebooks(commands)
    return parser


def _add_tokenize(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "tokenize",
        help="encode audio into a dataset of tokens",
        description="Encode audio into a dataset of tokens. The same command again resumes.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        fromfile_prefix_chars="@",
    )
    parser.set_defaults(command="tokenize")
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="audio file, folder (searched to the bottom), glob, WebDataset archive (.tar, "
        ".tar.gz, .tar.zst), Parquet file with audio or manifest (.jsonl); a path or any fsspec "
        "URL. "
        "@FILE stands for the lines of FILE",
    )
    parser.add_argument("--output", required=True, metavar="URL", help="where the dataset goes")
    _add_codec_options(parser.add_argument_group("codec"))
    _add_run_options(parser.add_argument_group("run"))
    _add_cluster_options(parser.add_argument_group("cluster"))


def _add_codec_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--codec",
        default=DEFAULT_CODEC,
        metavar="NAME",
        help=f"one of {', '.join(list_codecs())}, or path or hub id of a checkpoint "
        "(default: %(default)s)",
    )
    size = group.add_mutually_exclusive_group()
    size.add_argument(
        "--bandwidth",
        dest="bandwidth_kbps",
        type=float,
        metavar="KBPS",
        help="one of the bandwidths of the codec",
    )
    size.add_argument(
        "--num-codebooks",
        type=int,
        metavar="K",
        help=f"codebooks to make (default: {DEFAULT_CODEBOOKS}, or all if the codec has fewer)",
    )
    group.add_argument(
        "--chunk-seconds",
        type=float,
        metavar="S",
        help="length of a chunk (default, here and for the next two: the checkpoint's own)",
    )
    group.add_argument(
        "--overlap", type=float, metavar="F", help="fraction of a chunk that the next repeats"
    )
    group.add_argument(
        "--normalize",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="divide every chunk by its own scale",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=PRECISIONS[0],
        help="of the network; bfloat16 is faster on hardware that has it and gives other codes "
        "(default: %(default)s)",
    )


def _add_run_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--row-seconds",
        type=float,
        metavar="S",
        help="cut long recordings into rows of at most S seconds, on frame boundaries; their ids "
        "end in #000000, #000001, ... (default: one row a recording)",
    )
    for option, default in (("--min-seconds", 0.0), ("--max-seconds", MAX_SECONDS)):
        group.add_argument(
            option,
            type=float,
            default=default,
            metavar="S",
            help="of a recording; others are rejected (default: %(default)g)",
        )
    group.add_argument(
        "--keep",
        action="append",
        default=[],
        choices=KEEPABLE,
        help="make tokens of such recordings too and name the reason in the column `flags`; may "
        "be given several times (default: reject them)",
    )
    group.add_argument(
        "--max-rejected",
        type=float,
        default=DEFAULT_MAX_REJECTED,
        metavar="F",
        help="exit with 3 if more than this fraction of recordings was rejected "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--shard-timeout",
        dest="shard_timeout_seconds",
        type=float,
        default=DEFAULT_SHARD_TIMEOUT_SECONDS,
        metavar="S",
        help="end a worker whose shard has made no progress for S seconds, and try the shard again "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--verify-fraction",
        type=float,
        metavar="F",
        help="at the end verify the dataset: every row, and the round trip of this fraction of the "
        "audio (default: do not)",
    )
    group.add_argument(
        "--dry-run", action="store_true", help="print the plan and stop; nothing is written"
    )


def _add_cluster_options(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="(default: as many as the cluster has room for)",
    )
    group.add_argument(
        "--gpus-per-worker",
        type=float,
        metavar="G",
        help="(default: 1 where the cluster has GPUs, else 0)",
    )
    group.add_argument(
        "--cpus-per-worker", type=float, default=1.0, metavar="C", help="(default: %(default)s)"
    )
    group.add_argument(
        "--gpu-slots",
        type=int,
        metavar="N",
        help="recordings that a GPU works on at once; part of what a run is (default: 256)",
    )
    group.add_argument(
        "--address",
        metavar="ADDRESS",
        help="Ray cluster: auto (the one running on this machine), local (one of our own), "
        "ray://host:port or host:port (default: that of the Ray job we run in, else local)",
    )


def _add_verify(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "verify",
        help="check a dataset of tokens and decode a sample of it",
        description="Check every row of a dataset, decode a sample and compare it with its source.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command="verify")
    parser.add_argument("output", metavar="OUTPUT", help="where the dataset is")
    parser.add_argument(
        "--fraction",
        type=float,
        default=DEFAULT_FRACTION,
        metavar="F",
        help="of the audio of each shard to decode and compare (default: %(default)s)",
    )
    parser.add_argument("--deep", action="store_true", help="decode every row")
    parser.add_argument(
        "--report", metavar="FILE.html", help="where the report goes (default: OUTPUT/report.html)"
    )
    group = parser.add_argument_group(
        "cluster",
        "small datasets are verified in this process unless one of the first two is given",
    )
    _add_cluster_options(group)


def _add_status(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "status",
        help="say how far a run is",
        description="Say how far a run is, at what speed, and when it will end, from its output "
        "folder alone. Works from anywhere that can read it, and disturbs nothing.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command="status")
    parser.add_argument("output", metavar="OUTPUT", help="the --output of the run; any fsspec URL")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def _add_codebooks(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "Say how audio uses each codebook of a codec and how its entries lie, and draw them."
    parser = commands.add_parser("codebooks", help="look at codebooks", description=text)
    parser.set_defaults(command="codebooks")
    codebooks.add_options(parser)
