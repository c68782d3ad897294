"""The command line: `tokenize-pipeline tokenize`, `verify`, `status` and `codebooks`."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence

from codec import CodecError
from tokenize_pipeline.arguments import argument_parser
from tokenize_pipeline.codebooks import command as codebooks
from tokenize_pipeline.config import TokenizeConfig
from tokenize_pipeline.credentials import without_secrets
from tokenize_pipeline.driver import Run, check_limits, prepare, tokenize
from tokenize_pipeline.errors import ConfigurationError, PipelineError, RunFailedError
from tokenize_pipeline.records import Shard
from tokenize_pipeline.status import read_status, status_lines
from tokenize_pipeline.stopping import ends_on_sigterm
from tokenize_pipeline.summary import RunSummary
from tokenize_pipeline.verification.settings import VerifyConfig
from tokenize_pipeline.verify import verify_run


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: arguments without the name of the program; those of the process when None.

    Returns:
        The exit code; the help text lists them.
    """
    arguments = argument_parser().parse_args(argv)
    command = _COMMANDS[arguments.command]
    try:
        with ends_on_sigterm(RunFailedError.exit_code):
            return command(arguments)
    except CodecError as error:
        return _fail(str(error), ConfigurationError.exit_code)
    except PipelineError as error:
        return _fail(str(error), error.exit_code)
    except OSError as error:  # of storage, before anything was written or while verifying
        return _fail(str(error), RunFailedError.exit_code)
    except (KeyboardInterrupt, SystemExit):
        return _fail("stopped; run the same command again to resume", 1)


def _tokenize(arguments: argparse.Namespace) -> int:
    verification = None if arguments.verify_fraction is None else _verify_config(arguments)
    run = prepare(_config(arguments))
    _print_lines(_plan_lines(run))
    if run.config.dry_run:
        _print_lines(_shard_lines(run))
        return 0
    summary = tokenize(run)
    _print_lines(_summary_lines(run, summary))
    verified = 0 if verification is None else _verify_run(verification)
    check_limits(run, summary)
    return verified


def _verify(arguments: argparse.Namespace) -> int:
    values = {name: value for name, value in vars(arguments).items() if name != "command"}
    return _verify_run(VerifyConfig(**values))


def _verify_run(config: VerifyConfig) -> int:
    result = verify_run(config)
    _print_lines(result.summary_lines())
    return result.exit_code


def _status(arguments: argparse.Namespace) -> int:
    status = read_status(arguments.output)
    as_json = arguments.json
    _print_lines([json.dumps(status.to_dict(), indent=1)] if as_json else status_lines(status))
    return 0


def _verify_config(arguments: argparse.Namespace) -> VerifyConfig:
    """The verification that is the last stage of a run, with the workers of that run."""
    return VerifyConfig(
        output=arguments.output,
        fraction=arguments.verify_fraction,
        gpus_per_worker=arguments.gpus_per_worker,
        cpus_per_worker=arguments.cpus_per_worker,
        gpu_slots=arguments.gpu_slots,
        address=arguments.address,
    )


def _config(arguments: argparse.Namespace) -> TokenizeConfig:
    own = {"command", "verify_fraction"}
    values = {name: value for name, value in vars(arguments).items() if name not in own}
    tuples = {name: tuple(values[name]) for name in ("sources", "keep")}
    return TokenizeConfig(**{**values, **tuples})


def _plan_lines(run: Run) -> list[str]:
    sizes = {item.url: item.size_bytes for shard in run.shards for item in shard.items}
    size_bytes = sum(sizes.values())
    count = f"{run.recordings} recordings" if run.recordings is not None else "archives"
    ignored = f" ({run.ignored_files} other files ignored)" if run.ignored_files else ""
    return [
        f"{count}, {size_bytes / 1e6:.1f} MB, in {len(run.shards)} shards{ignored}",
        f"{run.spec.name}, {run.identity['num_codebooks']} codebooks -> {run.folder.url}",
    ]


def _shard_lines(run: Run) -> list[str]:
    return [
        f"{shard.part_name}  {_count_text(shard)}, {shard.size_bytes / 1e6:.1f} MB, "
        f"from {shard.items[0].id}"
        for shard in run.shards
    ]


def _count_text(shard: Shard) -> str:
    counts = [item.recordings for item in shard.items]
    return "1 archive" if None in counts else f"{sum(filter(None, counts))} recordings"


def _summary_lines(run: Run, summary: RunSummary) -> list[str]:
    return [
        f"{summary.rows} rows, {summary.seconds / 3600:.2f} hours, "
        f"{summary.rejected_text()} rejected of {summary.recordings} recordings"
        + (f", {summary.ignored_files} other files ignored" if summary.ignored_files else ""),
        f"tokens in {run.folder.url}",
    ]


def _print_lines(lines: Sequence[str]) -> None:
    print("\n".join(lines), flush=True)


def _fail(message: str, exit_code: int) -> int:
    line = without_secrets(" ".join(message.split()))
    print(f"tokenize-pipeline: {line}", file=sys.stderr)
    return exit_code


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "tokenize": _tokenize,
    "verify": _verify,
    "status": _status,
    "codebooks": codebooks.run,
}
