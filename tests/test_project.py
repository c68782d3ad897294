"""The frame of the project: pins, make targets, the console command."""

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[1]
TARGETS = ("install", "demo", "test", "chaos", "check", "clean")
tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """The [project] table of pyproject.toml."""
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    table: dict[str, Any] = tomllib.loads(text)["project"]
    return table


@pytest.fixture(scope="module")
def pins() -> list[Requirement]:
    """Every line of constraints.txt."""
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def test_constraints_are_exact_versions_from_an_index(pins: list[Requirement]) -> None:
    for pin in pins:
        assert pin.url is None
        assert re.fullmatch(r"==\d[\w.]*", str(pin.specifier)), f"{pin} is no exact public version"


def test_every_dependency_and_extra_is_pinned_within_its_range(
    project: dict[str, Any], pins: list[Requirement]
) -> None:
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    for wanted in map(Requirement, [*project["dependencies"], *extras]):
        found = [pin for pin in pins if _name(pin) == _name(wanted)]
        assert found, f"{wanted} is not pinned"
        for pin in found:
            version = str(pin.specifier).removeprefix("==")
            assert wanted.specifier.contains(version), f"{pin} is outside {wanted}"


def test_what_the_dependencies_need_is_pinned_too(
    project: dict[str, Any], pins: list[Requirement]
) -> None:
    pinned = {_name(pin) for pin in pins if pin.marker is None or pin.marker.evaluate()}
    needed = set(_closure([Requirement(line) for line in project["dependencies"]]))
    assert len(needed) > 50, "the closure was not walked"
    assert needed - pinned == set()


@pytest.mark.parametrize("target", TARGETS)
def test_make_target_exists_and_is_explained(target: str) -> None:
    assert re.search(rf"^  make {target} +\w.+$", _make("help"), flags=re.MULTILINE)
    assert _make("--dry-run", "--always-make", target)
    guides = [(REPOSITORY / name).read_text("utf-8") for name in ("README.md", "CONTRIBUTING.md")]
    assert any(f"make {target}" in guide for guide in guides)


def test_demo_takes_audio_output_and_codec() -> None:
    commands = _make(
        "--dry-run", "demo", "AUDIO=/some audio", "OUT=s3://b/o", "CODEC=encodec_48khz"
    )
    wanted = 'jobs/tokenize.py "/some audio" --output "s3://b/o" --codec "encodec_48khz"'
    assert wanted in commands
    assert 'jobs/verify.py "s3://b/o"' in commands


def test_demo_does_not_install_the_tools_of_the_tests() -> None:
    assert "[test]" not in _make("--dry-run", "--always-make", "demo")
    assert "[test]" in _make("--dry-run", "--always-make", "test")


def test_console_command_names_a_function(project: dict[str, Any]) -> None:
    module, _, function = project["scripts"]["tokenize-pipeline"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def _closure(wanted: list[Requirement]) -> Iterator[str]:
    """Names of everything installed here that the requirements need, directly or not."""
    waiting, seen = list(wanted), set[tuple[str, str]]()
    while waiting:
        requirement = waiting.pop()
        for extra in ("", *requirement.extras):
            if (_name(requirement), extra) in seen:
                continue
            seen.add((_name(requirement), extra))
            for line in importlib.metadata.requires(requirement.name) or ():
                inner = Requirement(line)
                if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                    waiting.append(inner)
        yield _name(requirement)


def _name(requirement: Requirement) -> str:
    return canonicalize_name(requirement.name)


def _make(*arguments: str) -> str:
    """What make prints, uninfluenced by a make that may be running these tests."""
    environment = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MAKELEVEL"}}
    done = subprocess.run(
        ["make", *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
