"""The file a training goes on from: written whole or not at all."""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from codec.encodec.config import EncodecConfig
from codec.errors import TrainingError


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Replaces the file in one step, so that whenever this is killed there is a whole one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: Path, config: EncodecConfig, *, codebooks_only: bool) -> dict[str, Any]:
    """What was saved, on the CPU.

    Raises:
        TrainingError: the file is damaged, or of a training of another kind or model.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found_config, found_only = state["model_config"], state["codebooks_only"]
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} is no checkpoint of this program: {error}") from error
    wanted = config.to_dict()
    differing = [key for key in wanted if wanted[key] != found_config.get(key)]
    if differing:
        listed = ", ".join(f"{key} {found_config.get(key)}, not {wanted[key]}" for key in differing)
        raise TrainingError(f"the checkpoint {path} is of another model: {listed}; name a new one")
    if found_only != codebooks_only:
        raise TrainingError(
            f"the checkpoint {path} is of a training of {'codebooks only' if found_only else 'all'}"
            "; name a new one"
        )
    return state
