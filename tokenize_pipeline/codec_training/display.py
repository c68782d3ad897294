"""How a training shows itself: a bar on a terminal, lines elsewhere, TensorBoard if asked for."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from tqdm import tqdm

from tokenize_pipeline.errors import ConfigurationError


class Display:
    """A `TrainingLog`, and a context manager.

    Args:
        tensorboard: folder for TensorBoard's files; None writes none.

    Raises:
        ConfigurationError: TensorBoard is asked for and not installed.
    """

    def __init__(self, tensorboard: Path | None = None) -> None:
        self._start = time.monotonic()
        self._is_terminal = sys.stderr.isatty()
        self._bar: tqdm[NoReturn] | None = None
        self._writer = None if tensorboard is None else _tensorboard_writer(tensorboard)

    def __enter__(self) -> "Display":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._writer is not None:
            self._writer.close()

    def note(self, text: str) -> None:
        """Prints a line, above the bar if there is one."""
        line = f"{time.monotonic() - self._start:6.0f} s  {text}"
        if self._bar is None:
            print(line, flush=True)
        else:
            self._bar.write(line, file=sys.stdout)

    def advance(self, step: int, last: int) -> None:
        """Moves the bar."""
        if not self._is_terminal:
            return
        if self._bar is None:
            self._bar = tqdm(total=last, initial=step - 1, unit="step", dynamic_ncols=True)
        self._bar.update(step - self._bar.n)

    def figures(self, step: int, last: int, means: Mapping[str, float]) -> None:
        """Shows means beside the bar, or prints them; hands them to TensorBoard."""
        listed = "  ".join(f"{name} {mean:.3f}" for name, mean in means.items())
        if self._bar is None:
            self.note(f"step {step} of {last}  {listed}")
        else:
            self._bar.set_postfix_str(listed)
        if self._writer is not None:
            for name, mean in means.items():
                self._writer.add_scalar(name, mean, step)
            self._writer.flush()


def _tensorboard_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigurationError(
            "--tensorboard needs the package tensorboard: pip install 'tokenize-pipeline[train]'"
        ) from error
    return SummaryWriter(str(folder))
