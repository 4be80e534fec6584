"""Without this file a network on data that it cannot read would fail with a size error inside torch."""

import math

from torch import Tensor

from models.errors import invalid, require_count


def flat_size(in_shape: tuple[int, ...]) -> int:
    """Number of values in one example: what a dense network reads after flattening."""
    if not in_shape or min(in_shape) < 1:
        raise invalid("in_shape", value=in_shape, choices="one or more sizes of at least 1")
    return math.prod(in_shape)


def image_shape(in_shape: tuple[int, ...], *, smallest: int = 4) -> tuple[int, int, int]:
    """(channels, height, width) of one example.

    Raises ValueError if it is no image, or has fewer than `smallest` pixels a side.
    """
    if len(in_shape) != 3 or in_shape[0] < 1 or min(in_shape[1:]) < smallest:
        needed = f"images (channels, height, width) with at least {smallest} pixels a side"
        raise invalid("in_shape", value=in_shape, choices=needed)
    return in_shape[0], in_shape[1], in_shape[2]


def sequence_shape(in_shape: tuple[int, ...], *, vocab_size: int | None) -> tuple[int, int]:
    """(steps, features) of one example; features is 0 for token ids.

    Token ids come as (steps,), numbers as (steps, features); the rows of an image (channels, height, width)
    are its steps. Raises ValueError for anything else.
    """
    if vocab_size is not None and len(in_shape) == 1:
        require_count("vocab_size", value=vocab_size, minimum=1)
        return in_shape[0], 0
    if vocab_size is None and len(in_shape) == 2:
        return in_shape[0], in_shape[1]
    if vocab_size is None and len(in_shape) == 3:
        return in_shape[1], in_shape[0] * in_shape[2]
    needed = "token ids (steps,) with a vocab_size, (steps, features), or images (channels, height, width)"
    raise invalid("in_shape", value=in_shape, choices=needed)


def as_sequence(x: Tensor) -> Tensor:
    """Rows of images as steps: (N, C, H, W) -> (N, H, C * W); sequences pass unchanged."""
    return x.permute(0, 2, 1, 3).flatten(2) if x.ndim == 4 else x


def require_out_features(out_features: int) -> None:
    """Raise ValueError unless there is at least one output."""
    require_count("out_features", value=out_features, minimum=1)
