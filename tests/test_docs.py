"""What the documentation tells people to type is something that can be typed."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from ray.dashboard.modules.job.cli import job_cli_group
from ray.scripts.scripts import cli as ray_cli

from tests.conftest import REPOSITORY
from tokenize_pipeline import telemetry
from tokenize_pipeline.arguments import argument_parser
from tokenize_pipeline.benchmark import command, pipeline, scale
from tokenize_pipeline.benchmark.settings import VARIANTS

PAGES = sorted((REPOSITORY / "docs").glob("*.md"))
PROGRAMS = {"docker", "kubectl", "make", "python", "ray", "tokenize-pipeline"}


def commands(page: Path) -> Iterator[str]:
    """Lines of the indented blocks."""
    blocks = re.findall(r"(?:^    .*\n)+", page.read_text("utf-8"), re.MULTILINE)
    return (line.strip() for block in blocks for line in block.splitlines())


EVERY = [(page.name, command) for page in PAGES for command in commands(page)]


def test_the_pages_have_commands() -> None:
    assert {page for page, _ in EVERY} >= {
        *("cluster.md", "kubernetes.md", "laptop.md", "monitoring.md", "ray-jobs.md", "scale.md")
    }
    assert len(EVERY) > 20


@pytest.mark.parametrize(("page", "line"), EVERY)
def test_a_command_can_be_typed(page: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    words = shlex.split(line)
    while re.fullmatch(r"\w+=\w+", words[0]):
        del words[0]
    program, *arguments = words
    program = program.removeprefix(".venv/bin/")
    assert program in PROGRAMS, f"{page}: {program}"
    if program == "make":
        text = Path("Makefile").read_text("utf-8")
        assert all(re.search(rf"^{target}:", text, re.MULTILINE) for target in arguments)
    elif program == "ray":
        check_ray(arguments)
    elif program == "python":
        check_job(arguments)
    elif program == "tokenize-pipeline":
        check_job([f"jobs/{arguments[0]}.py", *arguments[1:]])
    else:
        files = [word for word in arguments if word.startswith("jobs/")]
        assert all(Path(name).exists() for name in files)


def check_job(arguments: list[str]) -> None:
    """Parses the arguments of a script of ours; exits where they are wrong."""
    script, *options = arguments
    assert Path(script).is_file(), script
    name = Path(script).stem
    if name == "benchmark":
        others = {"pipeline": pipeline._options, "scale": scale._options}
        if options[0] in others:
            others[options[0]](options[1:])
        else:
            command.parse(options, VARIANTS)
    else:
        argument_parser().parse_args([name, *options])


def check_ray(arguments: list[str]) -> None:
    """Parses a command of Ray, and our own within it."""
    kind, *options = arguments
    if kind == "submit":
        file, *ours = options
        assert Path(file).is_file()
        check_job(ours)
        return
    group: click.Group = ray_cli
    if kind == "job":
        group, (kind, *options) = job_cli_group, options
    if "--" in options:
        ours = options[options.index("--") + 1 :]
        assert ours[0] == "python"
        check_job(ours[1:])
    group.commands[kind].make_context(kind, options)


def test_a_wrong_command_is_noticed() -> None:
    with pytest.raises(SystemExit):
        check_job(["jobs/tokenize.py", "speech", "--output", "tokens", "--surprise"])
    with pytest.raises(click.UsageError):
        check_ray(["job", "submit", "--surprise", "x", "--", "python", "jobs/status.py", "tokens"])
    with pytest.raises(AssertionError):
        check_ray(["submit", "jobs/cluster-moon.yaml", "jobs/status.py", "tokens"])


def test_every_figure_of_prometheus_is_explained_and_no_other() -> None:
    text = (REPOSITORY / "docs" / "monitoring.md").read_text("utf-8")
    ours = {f"ray_{name}_total" for name in telemetry.COUNTERS}
    ours |= {f"ray_{name}" for name in telemetry.HISTOGRAMS}
    assert set(re.findall(r"`(ray_tokenize_\w+)`", text)) == ours


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target
