"""A wider codec that begins as an exact copy of a trained one.

The channels of the narrow codec come first in every layer of the wide one. They get nothing from
the new channels, so both codecs compute the same function. The new channels get random weights
from everything before them, scaled to the level of the old ones, so that the first gradient
already says what they are good for.

    weights              from old channels   from new channels
    to old channels      trained             0
    to new channels      random              random

Source: the idea is that of Net2Net (Chen et al., 2016), section 2.3, without its copied channels.

Dimension key: B batch, C channels, S samples.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from codec.encodec.conv import EncodecConv1d, EncodecConvTranspose1d
from codec.encodec.model import EncodecModel
from codec.errors import CodecConfigError

GATES = 4  # of an LSTM; its tensors hold the rows of one after the other


@torch.no_grad()
def widened(narrow: EncodecModel, num_filters: int, audio_BCS: Tensor, seed: int) -> EncodecModel:
    """A codec with `num_filters` filters that gives what `narrow` gives, up to rounding.

    Args:
        narrow: the codec to begin with.
        num_filters: at least as many as `narrow` has.
        audio_BCS: a batch of real audio, to set the level of the new channels by.
        seed: of their weights.

    Raises:
        CodecConfigError: `num_filters` is less than what the codec has.
    """
    if num_filters < narrow.config.num_filters:
        raise CodecConfigError(
            f"the codec has {narrow.config.num_filters} filters and can be made wider, not"
            f" narrower; {num_filters} filters were asked for"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wide = EncodecModel(replace(narrow.config, num_filters=num_filters))
    for name, module in wide.named_modules():
        old = narrow.get_submodule(name)
        for key, parameter in module.named_parameters(recurse=False):
            transposed = isinstance(module, nn.ConvTranspose1d) and parameter.dim() > 1
            gates = GATES if isinstance(module, nn.LSTM) else 1
            _place(old.get_parameter(key), parameter, gates, transposed)
        for key, buffer in module.named_buffers(recurse=False):
            buffer.copy_(old.get_buffer(key))
    _set_levels(narrow, wide, audio_BCS)
    return wide


def _place(old: Tensor, new: Tensor, gates: int, transposed: bool) -> None:
    """Writes the old weights into the first channels of the new, and zeros beside them."""
    if transposed:  # [in, out, kernel], unlike all others
        old, new = old.transpose(0, 1), new.transpose(0, 1)
    for old_rows, new_rows in zip(old.chunk(gates), new.chunk(gates), strict=True):
        kept = new_rows[: len(old_rows)]
        kept.zero_()
        kept[tuple(slice(size) for size in old_rows.shape)] = old_rows


def _set_levels(narrow: EncodecModel, wide: EncodecModel, audio_BCS: Tensor) -> None:
    """Scales the new channels of each convolution to the mean level of its old ones."""
    hooks = []
    for name, module in wide.named_modules():
        if isinstance(module, EncodecConv1d | EncodecConvTranspose1d):
            old = narrow.get_submodule(name)
            assert isinstance(old, EncodecConv1d | EncodecConvTranspose1d)
            hooks.append(module.register_forward_hook(_levelling(old.conv.out_channels)))
    wide.decoder(wide.encoder(audio_BCS))
    for hook in hooks:
        hook.remove()


def _levelling(kept: int) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    def level(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        assert isinstance(module, EncodecConv1d | EncodecConvTranspose1d)
        if output.shape[1] == kept:
            return output
        factor = float(output[:, :kept].std() / output[:, kept:].std().clamp(min=1e-6))
        weight = module.conv.weight
        rows = weight.transpose(0, 1) if isinstance(module, EncodecConvTranspose1d) else weight
        rows[kept:] *= factor
        if module.conv.bias is not None:
            module.conv.bias[kept:] *= factor
        scaled = output.clone()
        scaled[:, kept:] *= factor
        return scaled

    return level
