"""The LSTM between the convolutions of EnCodec, with its skip connection.

Dimension key: B batch, C channels, T frames.
"""

from torch import Tensor, nn

from codec.encodec.config import EncodecConfig


class EncodecLSTM(nn.Module):
    """A stack of LSTM layers over time whose output is added to its input, [B, C, T] to the same.

    Source: "High Fidelity Neural Audio Compression" (2022), section 3.1; the skip connection is in
        facebookresearch/encodec 0.1.1, encodec/modules/lstm.py.
    """

    def __init__(self, config: EncodecConfig, channels: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, config.num_lstm_layers)

    def forward(self, x_BCT: Tensor) -> Tensor:
        """Runs over recordings of one length."""
        x_TBC = x_BCT.permute(2, 0, 1)
        y_BCT: Tensor = (self.lstm(x_TBC)[0] + x_TBC).permute(1, 2, 0)
        return y_BCT
