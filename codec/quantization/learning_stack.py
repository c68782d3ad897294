"""A stack of codebooks that learn from what they quantize.

Dimension key: B batch, D latent width, T frames, K codebooks, N vectors (B times T), C their width,
E entries.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from codec import processes
from codec.errors import CodebookError
from codec.quantization.checks import check_latent
from codec.quantization.kmeans import fit_kmeans
from codec.quantization.layer import StraightThrough
from codec.quantization.learning import expire, replace_expired, sums_by_entry, update_averages
from codec.quantization.stack import CodebookStack


class LearningStack(CodebookStack):
    """Codebooks with what moves them. Its settings may be changed at any time.

    With torch's distributed processes running, all of them see all vectors and have the same
    codebooks; each must do what the others do.

    Attributes:
        decay: of the running averages, a batch.
        kmeans_iters: rounds of k-means.
        threshold_ema_dead_code: uses below which an entry is dead, of 20 due; 0 replaces none.
        dropout_share: of the batches that get a random number of codebooks, if dropping out.
        kmeans_frames_per_entry: what k-means waits for.
        seed: of all that is random here.
        replaced_entries: moved so far because they had died.
    """

    def __init__(
        self, dimension: int, codebook_dim: int, num_codebooks: int, codebook_size: int
    ) -> None:
        super().__init__(dimension, codebook_dim, num_codebooks, codebook_size)
        self.dimension = dimension
        self.bins = codebook_size
        self.decay = 0.99
        self.kmeans_iters = 50
        self.threshold_ema_dead_code: float = 2
        self.dropout_share = 0.5
        self.kmeans_frames_per_entry = 16
        self.seed = 0
        self.replaced_entries = 0
        self._draws = 0  # random decisions taken so far
        self._gathered: list[Tensor] = []  # frames for k-means, [N, D] each

    @property
    def frames_gathered(self) -> int:
        """Frames that wait for k-means."""
        return sum(len(frames_ND) for frames_ND in self._gathered)

    @property
    def frames_wanted(self) -> int:
        """Frames with which k-means begins."""
        return self.kmeans_frames_per_entry * self.bins

    def restart(self) -> None:
        """Forgets the entries: training begins with k-means, on what `forward` gets from now on."""
        self._gathered = []
        for k in range(len(self)):
            self[k].inited.fill_(0)

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """k-means on the latents given, float [B, D, T], whatever was gathered before.

        Raises:
            AudioShapeError: x has another shape.
            NonFiniteError: x holds NaN or infinity.
            CodebookError: all processes together have fewer frames than a codebook has entries.
        """
        check_latent(x, self.dimension)
        self._gathered = []
        self._fit(processes.joined_rows(rows(x.float())))

    @torch.no_grad()
    def gather(self, x_BDT: Tensor) -> None:
        """Keeps frames for k-means, and runs it once there are enough in all processes together."""
        self._gathered.append(processes.joined_rows(rows(x_BDT)))
        if self.frames_gathered >= self.frames_wanted:
            gathered_ND = torch.cat(self._gathered)
            self._gathered = []
            self._fit(gathered_ND)

    def quantize(self, x_BDT: Tensor, num_codebooks: int) -> tuple[Tensor, Tensor, Tensor]:
        """Quantized latent [B, D, T], codes [K, B, T] and the penalty; learns in training mode.

        Each codebook gets what is left of x, with the gradient that this has if quantizing changes
        nothing. The penalty instead sees the codebooks before it as constants, so that it pulls x
        towards the sum of entries for any number of codebooks.
        """
        batch, _, frames = x_BDT.shape
        x_ND = rows(x_BDT)
        quantized_ND = torch.zeros_like(x_ND)
        residual_ND = x_ND
        codes, penalties, inputs = [], [], []
        for layer in map(self.layer, range(num_codebooks)):
            projected_NC = layer.project_in(residual_ND)
            codes_N = layer.codebook.nearest(projected_NC.detach())
            entries_NC = layer.codebook.lookup(codes_N)
            wanted_NC = layer.project_in(x_ND - quantized_ND.detach())
            penalties.append((wanted_NC - entries_NC).square().mean())
            passed_NC: Tensor = StraightThrough.apply(projected_NC, entries_NC)  # type: ignore[no-untyped-call]
            found_ND = layer.project_out(passed_NC)
            quantized_ND, residual_ND = quantized_ND + found_ND, residual_ND - found_ND
            codes.append(codes_N)
            inputs.append(projected_NC.detach())
        if self.training:
            self._learn(inputs, codes)
        quantized_BDT = quantized_ND.view(batch, frames, -1).transpose(1, 2)
        codes_KBT = torch.stack(codes).view(-1, batch, frames)
        return quantized_BDT, codes_KBT, torch.stack(penalties).mean()

    def drop_out(self, num_codebooks: int) -> int:
        """A number of codebooks, the same in all processes."""
        generator = self._generator()
        if float(torch.rand(1, generator=generator)) >= self.dropout_share:
            return num_codebooks
        return int(torch.randint(num_codebooks, (1,), generator=generator)) + 1

    def learning_state(self) -> dict[str, Any]:
        """What learning needs besides the state dict to go on exactly where it was."""
        codebooks = [self[k] for k in range(len(self))]
        return {
            "draws": self._draws,
            "replaced_entries": self.replaced_entries,
            "gathered": list(self._gathered),
            "uses": torch.stack([codebook.uses for codebook in codebooks]),
            "is_expired": torch.stack([codebook.is_expired for codebook in codebooks]),
        }

    def load_learning_state(self, state: Mapping[str, Any]) -> None:
        """Takes up what `learning_state` gave."""
        self._draws = state["draws"]
        self.replaced_entries = state["replaced_entries"]
        device = self[0].embed.device
        self._gathered = [frames_ND.to(device) for frames_ND in state["gathered"]]
        for k in range(len(self)):
            self[k].uses.copy_(state["uses"][k])
            self[k].is_expired.copy_(state["is_expired"][k])

    def check_fitted(self) -> None:
        """Raises unless the codebooks have entries.

        Raises:
            CodebookError: they have not been fitted.
        """
        if not self.is_fitted:
            raise CodebookError(
                f"the codebooks have not been fitted: {self.frames_gathered} of "
                f"{self.frames_wanted} frames for k-means were seen; call "
                "forward in training mode with more, or fit()"
            )

    @torch.no_grad()
    def _learn(self, inputs: Sequence[Tensor], codes: Sequence[Tensor]) -> None:
        """Moves the entries of the first codebooks.

        Args:
            inputs: what each of them got, [N, C].
            codes: which of its entries were nearest, [N].
        """
        sums = [
            sums_by_entry(c_N, x_NC, self.bins) for c_N, x_NC in zip(codes, inputs, strict=True)
        ]
        sums_KEC = processes.summed(torch.stack(sums))
        for k, x_NC in enumerate(inputs):
            update_averages(self[k], sums_KEC[k], self.decay)
            expire(self[k], self.threshold_ema_dead_code)
            self.replaced_entries += replace_expired(self[k], x_NC, self._generator())

    def _fit(self, residual_ND: Tensor) -> None:
        for layer in map(self.layer, range(len(self))):
            projected_NC = layer.project_in(residual_ND)
            fit_kmeans(layer.codebook, projected_NC, self.kmeans_iters, self._generator())
            residual_ND = residual_ND - layer.lookup(layer.search(residual_ND))

    def _generator(self) -> torch.Generator:
        """For one random decision, the same one in all processes."""
        self._draws += 1
        return torch.Generator().manual_seed(self.seed * 1_000_000_007 + self._draws)


def rows(x_BDT: Tensor) -> Tensor:
    """The frames of a batch one after the other, [N, D]."""
    return x_BDT.transpose(1, 2).reshape(-1, x_BDT.shape[1])
