"""Reading EnCodec checkpoints: Hugging Face folders, hub repositories, Meta's `.th` files.

Nothing that a file holds is ever executed: safetensors holds none, and `.th` files are opened with
`weights_only`.
"""

import hashlib
import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from codec.encodec.config import ENCODEC_24KHZ, ENCODEC_48KHZ, EncodecConfig
from codec.errors import CheckpointError, UnknownCodecError
from codec.hashing import sha256_of_file

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_CHECKSUM_IN_NAME = re.compile(r"-([0-9a-f]{8,64})$")
_BUFFERS_OF_TRAINING = ("inited", "cluster_size", "embed_avg")

# Meta's names to those of the Hugging Face layout.
# Source: facebookresearch/encodec 0.1.1, encodec/modules/seanet.py, conv.py; encodec/quantization.
_META_TO_HF = (
    (re.compile(r"^(encoder|decoder)\.model\."), r"\1.layers."),
    (re.compile(r"\.(conv|convtr)\.(?:conv|convtr)\."), r".conv."),
    (re.compile(r"\.(?:conv|convtr)\.norm\."), r".norm."),
    (re.compile(r"^quantizer\.vq\.layers\.(\d+)\._codebook\."), r"quantizer.layers.\1.codebook."),
)


@dataclass(frozen=True)
class Checkpoint:
    """A model as it was read, under the names of the Hugging Face layout."""

    source: str
    config: EncodecConfig
    state: Mapping[str, Tensor]

    @property
    def fingerprint(self) -> str:
        """sha256 over the configuration and every tensor that decides codes or audio.

        Tensors are hashed as stored, before weight normalization is folded, so that the value does
        not depend on the machine; the same weights from either layout have the same fingerprint.
        """
        digest = hashlib.sha256(json.dumps(self.config.to_dict(), sort_keys=True).encode())
        for name in sorted(self.state):
            if name.endswith(_BUFFERS_OF_TRAINING):
                continue
            tensor = self.state[name].detach().cpu().contiguous()
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def load_into(self, model: nn.Module) -> None:
        """Copies the tensors into a model of the same configuration.

        Raises:
            CheckpointError: a tensor is missing, is one too many or has another shape.
        """
        optional = {key for key in model.state_dict() if key.endswith(_BUFFERS_OF_TRAINING)}
        try:
            missing, unexpected = model.load_state_dict(dict(self.state), strict=False)
        except RuntimeError as error:
            raise CheckpointError(
                f"{self.source} does not fit its configuration: {error}"
            ) from error
        missing = [key for key in missing if key not in optional]
        if missing or unexpected:
            raise CheckpointError(
                f"{self.source} does not fit its configuration: {len(missing)} tensors missing "
                f"{missing[:3]}, {len(unexpected)} unknown {unexpected[:3]}"
            )


def read_checkpoint(source: str | Path) -> Checkpoint:
    """Reads a folder in the Hugging Face layout, one of Meta's `.th` files, or a hub repository.

    Raises:
        UnknownCodecError: there is no such file, folder or repository.
        CheckpointError: the weights are damaged.
        CodecConfigError: the configuration makes no sense.
    """
    path = Path(source)
    if path.is_dir():
        return _read_folder(path)
    if path.is_file():
        return _read_meta_file(path)
    if isinstance(source, str) and _HUB_ID.fullmatch(source):
        return _read_folder(_download(source))
    raise UnknownCodecError(f"there is no checkpoint {str(source)!r}: no such file or folder")


def inference_state(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of a model that decide codes and audio."""
    state = model.state_dict()
    return {name: t for name, t in state.items() if not name.endswith(_BUFFERS_OF_TRAINING)}


def save_tensors(state: Mapping[str, Tensor], path: Path) -> None:
    """Writes tensors as safetensors."""
    from safetensors.torch import save

    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    path.write_bytes(save(contiguous, metadata={"format": "pt"}))


def _read_folder(folder: Path) -> Checkpoint:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config = EncodecConfig.from_file(folder / "config.json")
    path = folder / "model.safetensors"
    if not path.is_file():
        raise CheckpointError(f"{folder} has no model.safetensors; pickled weights are not read")
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    return Checkpoint(str(folder), config, {_classic_name(name): t for name, t in state.items()})


def _classic_name(name: str) -> str:
    """The older of torch's two namings of weight normalization, which most checkpoints use."""
    name = name.replace(".parametrizations.weight.original0", ".weight_g")
    return name.replace(".parametrizations.weight.original1", ".weight_v")


def _read_meta_file(path: Path) -> Checkpoint:
    """Reads `encodec_24khz-d7cc33bc.th` and its kind; the name ends in the start of its sha256."""
    wanted = _CHECKSUM_IN_NAME.search(path.stem)
    if wanted is not None:
        with path.open("rb") as file:
            found = sha256_of_file(file)
        if not found.startswith(wanted[1]):
            raise CheckpointError(
                f"{path} is damaged: its name promises sha256 {wanted[1]}..., but it has "
                f"{found[: len(wanted[1])]}...; download it again"
            )
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is no file of plain tensors: {reason}") from error
    if not isinstance(stored, dict) or not all(isinstance(t, Tensor) for t in stored.values()):
        raise CheckpointError(f"{path} is no state dict of tensors")
    state = {_hf_name(name): tensor for name, tensor in stored.items()}
    is_48khz = "encoder.layers.0.norm.weight" in state
    return Checkpoint(str(path), ENCODEC_48KHZ if is_48khz else ENCODEC_24KHZ, state)


def _hf_name(meta_name: str) -> str:
    for pattern, replacement in _META_TO_HF:
        meta_name = pattern.sub(replacement, meta_name)
    return _classic_name(meta_name)


def _download(repository: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted = ["config.json", "model.safetensors"]
    try:
        return Path(snapshot_download(repository, allow_patterns=wanted))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnknownCodecError(
            f"there is no folder {repository!r} here, and as a hub repository it cannot be "
            f"fetched: {reason}"
        ) from error
