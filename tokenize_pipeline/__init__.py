"""Audio in, datasets of neural codec tokens out."""

from typing import Any

__all__ = ["load_tokens"]


def __getattr__(name: str) -> Any:
    """`load_tokens` when it is asked for: workers need no `datasets`, whose import is slow."""
    if name == "load_tokens":
        from tokenize_pipeline.dataset import load_tokens

        return load_tokens
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
