"""The files that start clusters: valid, pinned, and without secrets."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ray.autoscaler._private.providers import _get_default_config
from ray.autoscaler._private.util import validate_config

from tests.conftest import REPOSITORY
from tokenize_pipeline import cli
from tokenize_pipeline.arguments import argument_parser

JOBS = REPOSITORY / "jobs"
CLUSTERS = sorted(JOBS.glob("cluster-*.yaml"))
CLOUDS = [path for path in CLUSTERS if path.stem != "cluster-local"]
FILES = [*CLUSTERS, JOBS / "rayjob.yaml", JOBS / "runtime-env.yaml", JOBS / "Dockerfile"]
SECRET = re.compile(r"AKIA|BEGIN [A-Z ]*PRIVATE KEY|(secret|password|token)\w*\s*[:=]\s*\S", re.I)


def load(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return values


def name(path: Path) -> str:
    return path.name


def pinned(package: str) -> str:
    lines = (REPOSITORY / "constraints.txt").read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    wanted = canonicalize_name(package)
    return next(str(p.specifier)[2:] for p in pins if canonicalize_name(p.name) == wanted)


def test_there_is_a_file_for_each_kind_of_cluster() -> None:
    assert [path.stem for path in CLUSTERS] == ["cluster-aws", "cluster-gcp", "cluster-local"]


@pytest.mark.parametrize("path", CLUSTERS, ids=name)
def test_ray_accepts_a_cluster_file(path: Path) -> None:
    """Ray's own schema and checks, after its own defaults for that provider are filled in."""
    config = load(path)
    assert config["provider"]["type"] == path.stem.removeprefix("cluster-")
    complete = {**_get_default_config(config["provider"]), **config}
    complete.setdefault("max_workers", len(config["provider"].get("worker_ips", ())))
    validate_config(complete)
    with pytest.raises(jsonschema.ValidationError):
        validate_config({**complete, "surprise": 1})


@pytest.mark.parametrize("path", CLOUDS, ids=name)
def test_a_cloud_keeps_codecs_off_the_head_and_gives_machines_back(path: Path) -> None:
    config = load(path)
    types = config["available_node_types"]
    assert types[config["head_node_type"]]["resources"] == {"CPU": 0}
    workers = [types[kind] for kind in types if kind != config["head_node_type"]]
    assert all(kind["min_workers"] == 0 for kind in workers)
    assert max(kind["max_workers"] for kind in workers) <= config["max_workers"]
    assert config["idle_timeout_minutes"] > 0
    assert config["docker"]["image"] == f"rayproject/ray:{pinned('ray')}-py311-gpu"


@pytest.mark.parametrize("path", CLUSTERS, ids=name)
def test_machines_get_this_checkout_with_the_pins(path: Path) -> None:
    config = load(path)
    assert config["file_mounts"] == {"~/tokenize-pipeline": "."}
    assert {".git", ".venv", "out"} <= set(config["rsync_exclude"])
    installs = [command for command in config["setup_commands"] if "pip install" in command]
    assert installs
    for command in installs:
        assert "--constraint constraints.txt" in command
        extra = re.search(r"'\.\[(\w+)\]'", command)
        assert extra, command
        assert f"\n{extra[1]} = [" in (REPOSITORY / "pyproject.toml").read_text("utf-8")


@pytest.mark.parametrize("path", CLUSTERS, ids=name)
def test_commands_are_what_a_shell_understands(path: Path) -> None:
    config = load(path)
    keys = ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands")
    for command in [command for key in keys for command in config[key]]:
        subprocess.run(["bash", "-n", "-c", command], check=True)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_secrets_and_every_choice_is_marked(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not SECRET.search(text)
    assert path.suffix != ".yaml" or text.count("CHANGE") > 0


def test_the_ray_job_is_one_that_kuberay_takes() -> None:
    """Fields and types of ray.io/v1 that we use, after the reference of KubeRay; no others."""
    job = load(JOBS / "rayjob.yaml")
    jsonschema.validate(job, RAY_JOB)
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == pinned("ray")
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplicas"] = "16"
    with pytest.raises(jsonschema.ValidationError, match="'16' is not of type 'integer'"):
        jsonschema.validate(job, RAY_JOB)


def test_the_ray_job_runs_a_command_that_we_have_with_a_worker_for_each_gpu() -> None:
    spec = load(JOBS / "rayjob.yaml")["spec"]
    program, *arguments = shlex.split(spec["entrypoint"])
    assert program == "tokenize-pipeline"
    wanted = cli._config(argument_parser().parse_args(arguments))
    (group,) = spec["rayClusterSpec"]["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    assert wanted.workers == group["maxReplicas"]
    assert wanted.gpus_per_worker == container["resources"]["limits"]["nvidia.com/gpu"]
    assert wanted.cpus_per_worker <= int(container["resources"]["requests"]["cpu"])
    assert spec["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_the_image_has_the_pins_and_all_that_is_installed() -> None:
    lines = (JOBS / "Dockerfile").read_text("utf-8").splitlines()
    assert f"FROM rayproject/ray:{pinned('ray')}-py311-gpu" in lines
    assert "RUN pip install --no-cache-dir --constraint constraints.txt '.[s3,gcs]'" in lines
    copied = {word for line in lines if line.startswith("COPY") for word in line.split()[2:-1]}
    assert {"codec", "tokenize_pipeline", "pyproject.toml", "constraints.txt"} <= copied
    assert all((REPOSITORY / path).exists() for path in copied)


def test_the_runtime_environment_has_the_pins() -> None:
    """Of what tokenizing needs, but for Ray, which is the cluster's, and with storage for S3."""
    packages = load(JOBS / "runtime-env.yaml")["pip"]["packages"]
    found = {
        canonicalize_name(Requirement(line).name): str(Requirement(line).specifier)[2:]
        for line in packages
    }
    text = (REPOSITORY / "pyproject.toml").read_text("utf-8")
    block = text.partition("\ndependencies = [")[2].partition("\n]")[0]
    needed = {canonicalize_name(Requirement(line).name) for line in re.findall(r'"([^"]+)"', block)}
    assert found == {package: pinned(package) for package in needed - {"ray"} | {"s3fs"}}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }


_TEXT, _INTEGER, _FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
_QUANTITY = {"anyOf": [_INTEGER, {"type": "string", "pattern": r"^\d+(\.\d+)?(m|[KMGT]i?)?$"}]}
_QUANTITIES = {"type": "object", "additionalProperties": _QUANTITY}
_CONTAINER = _object(
    ["name", "image", "resources"],
    name=_TEXT,
    image=_TEXT,
    resources=_object(["requests", "limits"], requests=_QUANTITIES, limits=_QUANTITIES),
)
_POD = _object(
    ["spec"],
    spec=_object(
        ["containers"],
        serviceAccountName=_TEXT,
        nodeSelector=_TEXTS,
        containers={"type": "array", "items": _CONTAINER, "minItems": 1},
    ),
)
_WORKERS = _object(
    ["groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"],
    groupName=_TEXT,
    replicas=_INTEGER,
    minReplicas=_INTEGER,
    maxReplicas=_INTEGER,
    rayStartParams=_TEXTS,
    template=_POD,
)
RAY_JOB = _object(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=_object(["name"], name=_TEXT),
    spec=_object(
        ["entrypoint", "rayClusterSpec"],
        entrypoint=_TEXT,
        backoffLimit=_INTEGER,
        shutdownAfterJobFinishes=_FLAG,
        ttlSecondsAfterFinished=_INTEGER,
        rayClusterSpec=_object(
            ["headGroupSpec"],
            rayVersion=_TEXT,
            enableInTreeAutoscaling=_FLAG,
            autoscalerOptions=_object([], idleTimeoutSeconds=_INTEGER),
            headGroupSpec=_object(
                ["rayStartParams", "template"], rayStartParams=_TEXTS, template=_POD
            ),
            workerGroupSpecs={"type": "array", "items": _WORKERS},
        ),
    ),
)
