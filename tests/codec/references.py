"""The reference implementations with random weights, and what agreeing with them means.

Dimension key: B batch, C channels, S samples, K codebooks, T frames, D latent width, N chunks.
"""

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from encodec.model import EncodecModel as MetaModel
from torch import Tensor

from codec.encodec import EncodecConfig, EncodecModel
from codec.encodec.config import ENCODEC_24KHZ, ENCODEC_48KHZ
from tokenize_pipeline.benchmark.transformers_model import make_reference

RELATIVE = 1e-5
CONFIGS = {"24khz": ENCODEC_24KHZ, "48khz": ENCODEC_48KHZ}


@dataclass(frozen=True)
class References:
    """One set of weights in three models."""

    ours: EncodecModel
    theirs: transformers.EncodecModel
    meta: MetaModel

    @property
    def config(self) -> EncodecConfig:
        return self.ours.config


def make_references(variant: str, folder: Path) -> References:
    """Random weights written by each reference in its own format and read back by ours.

    Meta's model writes a `.th` file, which ours reads; ours writes a Hugging Face folder, which
    transformers reads. All weights thus pass through both formats.
    """
    meta = _random_meta_model(CONFIGS[variant])
    ours = EncodecModel.from_pretrained(write_meta_file(meta, folder, f"encodec_{variant}"))
    ours.save_pretrained(folder / "hf")
    return References(ours, make_reference(ours), meta)


def write_meta_file(model: torch.nn.Module, folder: Path, stem: str) -> Path:
    """A state dict as Meta publishes it: a pickle named after its own checksum."""
    plain = folder / "plain.th"
    torch.save(model.state_dict(), plain)
    digest = hashlib.sha256(plain.read_bytes()).hexdigest()
    return plain.rename(folder / f"{stem}-{digest[:8]}.th")


def _random_meta_model(config: EncodecConfig) -> MetaModel:
    torch.manual_seed(1)
    with warnings.catch_warnings():  # the reference is older than torch's present weight norm
        warnings.simplefilter("ignore", FutureWarning)
        model = _meta_model(config)
    with torch.no_grad():
        # A group norm of ones and zeros, or a weight norm that is the norm, would hide mistakes.
        for name, parameter in model.named_parameters():
            if name.endswith(("weight_g", "norm.weight")):
                parameter.mul_(torch.empty_like(parameter).uniform_(0.7, 1.5))
            if name.endswith("norm.bias"):
                parameter.uniform_(-0.2, 0.2)
        audio = torch.randn(1, config.audio_channels, config.sampling_rate) * 0.1
        spread = model.encoder(audio).std()
        for k, layer in enumerate(model.quantizer.vq.layers):
            layer._codebook.embed.normal_().mul_(spread * 0.9**k)
            layer._codebook.inited.fill_(1)
    return model


def assert_close(found: Tensor, wanted: Tensor, what: str) -> None:
    """Equal within `RELATIVE` of the largest magnitude."""
    assert found.shape == wanted.shape, f"{what}: shape {found.shape}, wanted {wanted.shape}"
    error = float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-12))
    assert error <= RELATIVE, f"{what}: {error:.1e} relative, allowed {RELATIVE:.0e}"


def assert_codes_agree(
    ours_KT: Tensor, theirs_KT: Tensor, latent_DT: Tensor, codebooks: list[Tensor]
) -> tuple[int, int]:
    """Codes are equal wherever the nearest entry is nearest by more than the tolerance.

    A latent that moves by d moves every distance by at most d, so a code can only change where the
    two smallest distances differ by less than 2 d. After an undecided code the residuals of the
    two models part, and the rest of that frame is not compared.

    Returns:
        Codes compared, and codes there are.
    """
    assert ours_KT.shape == theirs_KT.shape
    residual_TD = latent_DT.t().double()
    tolerance = 2 * RELATIVE * float(latent_DT.abs().max()) * latent_DT.shape[0] ** 0.5
    comparable_T = torch.ones(latent_DT.shape[1], dtype=torch.bool)
    compared = 0
    for k, embed_ED in enumerate(codebooks[: len(ours_KT)]):
        distances_TE = torch.cdist(residual_TD, embed_ED.double())
        two = distances_TE.topk(2, largest=False).values
        comparable_T &= (two[:, 1] - two[:, 0]) > tolerance
        differing = (ours_KT[k] != theirs_KT[k]) & comparable_T
        assert not differing.any(), f"codebook {k}: frames {differing.nonzero()[:5].flatten()}"
        compared += int(comparable_T.sum())
        residual_TD = residual_TD - embed_ED.double()[theirs_KT[k]]
    return compared, ours_KT.numel()


def codebooks_of(model: EncodecModel) -> list[Tensor]:
    """All codebooks, [E, D] each."""
    return [model.quantizer[k].embed for k in range(len(model.quantizer))]


def _meta_model(config: EncodecConfig) -> MetaModel:
    model: MetaModel = MetaModel._get_model(
        list(config.target_bandwidths),
        config.sampling_rate,
        config.audio_channels,
        causal=config.use_causal_conv,
        model_norm=config.norm_type,
        audio_normalize=config.normalize,
        segment=config.chunk_length_s,
    )
    return model.eval()
