"""Who may import whom, held by reading the import statements of every file."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("codec", "tokenize_pipeline")
SOURCES = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))
JOBS = sorted((REPOSITORY / "jobs").glob("*.py"))

# All that a codec needs; audio files, clusters and storage are none of its business.
CODEC_MAY_IMPORT = {"codec", "torch", "numpy", "safetensors", "huggingface_hub"}

# Libraries whose ways we want to know in one place each, or in very few.
OWNERS = {
    "av": ["tokenize_pipeline/decoders.py"],
    "datasets": ["tokenize_pipeline/dataset.py"],
    "fsspec": ["tokenize_pipeline/remote_storage.py"],
    # What we write, Parquet that others wrote, and zstd.
    "pyarrow": [
        "tokenize_pipeline/archive_stream.py",
        "tokenize_pipeline/schema.py",
        "tokenize_pipeline/sources/parquet.py",
    ],
    # The cluster, its workers, and what they report.
    "ray": [
        "tokenize_pipeline/cluster.py",
        "tokenize_pipeline/pool.py",
        "tokenize_pipeline/telemetry.py",
    ],
    "soundfile": ["tokenize_pipeline/decoders.py"],
    "transformers": ["tokenize_pipeline/benchmark/transformers_model.py"],
}

# The only file whose name hides a standard module: the users asked for it.
HIDES_A_STANDARD_MODULE = {"jobs/tokenize.py"}


def imported_packages(path: Path) -> set[str]:
    """Top-level packages that a file imports, wherever in the file it does so."""
    return {name.partition(".")[0] for name in _imported_names(ast.parse(path.read_text("utf-8")))}


def _imported_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def _relative(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


@pytest.mark.parametrize("path", [p for p in SOURCES if "codec" in p.parts], ids=_relative)
def test_codec_imports_torch_and_little_else(path: Path) -> None:
    foreign = imported_packages(path) - CODEC_MAY_IMPORT - sys.stdlib_module_names
    assert not foreign


def test_nothing_imports_jobs_tests_or_samples() -> None:
    for path in (*SOURCES, *JOBS):
        assert not imported_packages(path) & {"jobs", "tests", "samples"}, _relative(path)


@pytest.mark.parametrize("library", OWNERS)
def test_one_file_of_the_packages_owns_each_outside_library(library: str) -> None:
    importers = [_relative(path) for path in SOURCES if library in imported_packages(path)]
    assert importers == OWNERS[library]


def test_only_one_file_is_named_like_a_standard_module() -> None:
    hiding = {_relative(p) for p in (*SOURCES, *JOBS) if p.stem in sys.stdlib_module_names}
    assert hiding == HIDES_A_STANDARD_MODULE


@pytest.mark.parametrize("path", SOURCES, ids=_relative)
def test_a_module_only_defines_things_when_imported(path: Path) -> None:
    defines = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.FunctionDef, ast.ClassDef)
    for node in ast.parse(path.read_text("utf-8")).body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        assert docstring or isinstance(node, defines), f"{_relative(path)}:{node.lineno}"


@pytest.mark.parametrize("path", SOURCES, ids=_relative)
def test_no_configuration_comes_from_the_environment(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        reads = isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
        assert not reads, f"{_relative(path)} reads the environment"


def test_importing_everything_leaves_no_trace(tmp_path: Path) -> None:
    """No folder or file made, no log handler added, no signal handler or environment changed."""
    modules = [_module_name(path) for path in SOURCES]
    program = _TRACE_PROGRAM.format(modules=modules, third_party=sorted(_third_party()))
    subprocess.run([sys.executable, "-c", program, str(REPOSITORY)], cwd=tmp_path, check=True)
    assert list(tmp_path.iterdir()) == []


def _module_name(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _third_party() -> set[str]:
    imported = set().union(*(imported_packages(path) for path in SOURCES))
    return imported - set(PACKAGES) - sys.stdlib_module_names


# Outside libraries may do as they like when imported, so they come first and are not watched.
_TRACE_PROGRAM = """
import importlib, logging, os, signal, sys, threading

sys.path.insert(0, sys.argv[1])
for name in {third_party}:
    try:
        importlib.import_module(name)
    except ImportError:
        pass  # an extra that is not installed


def state():
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    return dict(os.environ), handlers, list(logging.root.handlers), logging.root.level


before = state()
for name in {modules}:
    importlib.import_module(name)
assert state() == before, "importing changed the state of the process"
"""
