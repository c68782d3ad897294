"""Random weights of a published shape. Speed does not depend on what was learned.

Dimension key: C channels, S samples, D latent width, N vectors, E entries.
"""

import torch
from torch import Tensor, nn

from codec.encodec import EncodecConfig, EncodecModel
from tokenize_pipeline.benchmark.recordings import synthetic_recordings

SEED = 1
_JITTER = 0.5  # noise added to an entry, relative to the spread of what it was drawn from
_SECONDS = 2.0  # of audio that codebooks are drawn from


def random_model(config: EncodecConfig, device: str) -> EncodecModel:
    """A model in eval mode, the same one for the same configuration.

    With torch's default weights the latents of the 24 kHz model hardly move, and every frame gets
    the same codes. So convolutions keep the level of their input, and codebooks hold what there is
    to quantize.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(SEED)
        model = EncodecModel(config).eval()
        for weight in model.parameters():
            if weight.ndim == 3:
                nn.init.kaiming_normal_(weight)
        _fill_codebooks(model)
    return model.to(device)


def _fill_codebooks(model: EncodecModel) -> None:
    """Draws entries from the latents of a synthetic recording, and from their residuals."""
    config = model.config
    rate, channels = config.sampling_rate, config.audio_channels
    audio_CS = torch.from_numpy(synthetic_recordings(_SECONDS, rate, channels)[0])
    residual_ND = model.encoder(audio_CS[None])[0].t()
    for k in range(len(model.quantizer)):
        codebook = model.quantizer[k]
        codebook.embed.copy_(_entries(residual_ND, config.codebook_size))
        residual_ND = residual_ND - codebook.lookup(codebook.nearest(residual_ND))


def _entries(vectors_ND: Tensor, count: int) -> Tensor:
    drawn_ED = vectors_ND[torch.randint(len(vectors_ND), (count,))]
    return drawn_ED + _JITTER * vectors_ND.std(dim=0) * torch.randn_like(drawn_ED)
