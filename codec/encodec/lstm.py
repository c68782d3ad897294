"""The LSTM between the convolutions of EnCodec, with its skip connection.

Dimension key: B batch, C channels, T frames.
"""

import torch
from torch import Tensor, nn

from codec.encodec.config import EncodecConfig
from codec.encodec.conv import TileState


class EncodecLSTM(nn.Module):
    """A stack of LSTM layers over time whose output is added to its input, [B, C, T] to the same.

    Source: "High Fidelity Neural Audio Compression" (2022), section 3.1; the skip connection is in
        facebookresearch/encodec 0.1.1, encodec/modules/lstm.py.
    """

    def __init__(self, config: EncodecConfig, channels: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, config.num_lstm_layers)

    def forward(self, x_BCT: Tensor, tile: TileState | None = None) -> Tensor:
        """Runs over a recording, or the next tile of one."""
        tile = tile or TileState()
        x_TBC = x_BCT.permute(2, 0, 1)
        hidden_and_cell = None if tile.is_first else tile.carried[self].unbind(0)
        y_TBC, (hidden, cell) = self.lstm(x_TBC, hidden_and_cell)
        if not tile.is_last:
            tile.carried[self] = torch.stack([hidden, cell])
        y_BCT: Tensor = (y_TBC + x_TBC).permute(1, 2, 0)
        return y_BCT
