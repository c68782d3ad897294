"""Starting points from which a small SEANet learns waveforms at once.

With torch's default initialization a small codec trained on spectra stays on a plateau: the output
has the right spectrum and no correlation with the input. Two things prevent it: activations of unit
size in every layer, and a first task with a unique answer.

Dimension key: B batch, C channels, S samples, D latent width, T frames, N vectors.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from codec import processes
from codec.encodec.conv import EncodecConv1d, EncodecConvTranspose1d
from codec.encodec.model import EncodecModel
from codec.encodec.seanet import EncodecResnetBlock
from codec.errors import CodecConfigError

RESIDUAL_GAIN = 0.3


@torch.no_grad()
def calibrate(model: EncodecModel, audio_BCS: Tensor) -> None:
    """Scales each convolution so that its output on real audio has unit deviation.

    Residual branches are scaled to `RESIDUAL_GAIN`, the last layer to the level of the audio.
    """
    branches = {m.block[-1] for m in model.modules() if isinstance(m, EncodecResnetBlock)}
    last = model.decoder.layers[-1]
    level = float(audio_BCS.std())
    hooks = []
    for module in model.modules():
        if isinstance(module, EncodecConv1d | EncodecConvTranspose1d):
            wanted = RESIDUAL_GAIN if module in branches else level if module is last else 1.0
            hooks.append(module.register_forward_hook(_rescaling(wanted)))
    model.decoder(model.encoder(audio_BCS))
    for hook in hooks:
        hook.remove()


def _rescaling(wanted: float) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    def rescale(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        assert isinstance(module, EncodecConv1d | EncodecConvTranspose1d)
        factor = wanted / max(float(output.std()), 1e-6)
        module.conv.weight.mul_(factor)
        if module.conv.bias is not None:
            module.conv.bias.mul_(factor)
        return output * factor

    return rescale


class PrincipalComponents:
    """The leading directions of frames of audio: a linear codec for a network to imitate first.

    All processes get those of process 0.
    """

    def __init__(self, audio_BS: Tensor, hop: int, width: int) -> None:
        """Fits `width` directions to the frames of `hop` samples in a batch.

        Raises:
            CodecConfigError: there are fewer samples in a frame than directions.
        """
        if width > hop:
            raise CodecConfigError(
                f"a hidden_size of {width} is more than the {hop} samples of a frame, so there are "
                "no such principal components to imitate; train without (imitate_steps of 0)"
            )
        frames_NS = audio_BS.reshape(-1, hop)
        covariance_SS = frames_NS.t() @ frames_NS / len(frames_NS)
        variances, vectors_SS = torch.linalg.eigh(covariance_SS.double())
        self._hop = hop
        self._basis_SD = vectors_SS[:, -width:].flip(1).float().contiguous()
        level = variances[-width:].mean().sqrt().float().clamp(min=1e-6)
        processes.copied_from_first([self._basis_SD, level])
        self._level = float(level)

    def encode(self, audio_BS: Tensor) -> Tensor:
        """Latent [B, D, T] of a batch whose length is a multiple of the hop, of unit mean power."""
        frames_BTS: Tensor = audio_BS.unflatten(1, (-1, self._hop))
        latent_BDT: Tensor = (frames_BTS @ self._basis_SD).transpose(1, 2) / self._level
        return latent_BDT
