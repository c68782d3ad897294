"""What users give a quantizer is looked at once, here."""

from torch import Tensor

from codec.errors import AudioShapeError, NonFiniteError


def check_latent(x: Tensor, dimension: int) -> None:
    """Raises unless it is a latent [B, D, T] of finite numbers.

    Raises:
        AudioShapeError: it has another shape or type.
        NonFiniteError: it holds NaN or infinity.
    """
    if x.ndim != 3 or x.shape[1] != dimension or 0 in x.shape:
        raise AudioShapeError(
            f"x has shape {tuple(x.shape)}; this quantizer takes [batch, {dimension}, "
            "frames], at least one of each"
        )
    if not x.is_floating_point():
        raise AudioShapeError(f"x holds {x.dtype}; a latent must be of floating-point numbers")
    if not bool(x.isfinite().all()):
        broken = int((~x.isfinite()).sum())
        raise NonFiniteError(
            f"{broken} of the {x.numel()} values of x are NaN or infinite; a codebook that "
            "learned from them would be lost"
        )


def check_codes(codes: Tensor, num_codebooks: int, codebook_size: int) -> None:
    """Raises unless they are codes [K, B, T] of at most so many codebooks of that size.

    Raises:
        AudioShapeError: they have another shape or type, or lie outside the codebooks.
    """
    if codes.ndim != 3 or not 1 <= len(codes) <= num_codebooks or codes.is_floating_point():
        raise AudioShapeError(
            f"codes are {codes.dtype} of shape {tuple(codes.shape)}; wanted integers [codebooks, "
            f"batch, frames] with 1 to {num_codebooks} codebooks"
        )
    if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < codebook_size:
        raise AudioShapeError(
            f"codes lie between {int(codes.min())} and {int(codes.max())}; codebooks have entries "
            f"0 to {codebook_size - 1}"
        )
