"""Rows of a weight matrix that are twins: equal in weights and gradient, so that they stay so."""

import torch
from torch import Tensor

from torchvitals.probes.reduce import host

_ROUNDING = 16
"""Units in the last place by which equal rows may differ."""
_COLUMNS = 8
"""Columns that are compared first."""


def is_matrix(w: Tensor, gradient: Tensor) -> bool:
    """Whether there are rows to compare; a row of one number is too little to tell twins by."""
    return w.ndim >= 2 and w.shape[0] >= 2 and w[0].numel() >= 2 and not gradient.is_sparse


def symmetric_rows(w: Tensor, gradient: Tensor) -> Tensor:
    """Rows that are twins in both: a float64 scalar on the device of `w`.

    Rows without a gradient beside rows with one are not twins but idle: positions that no sequence reached,
    rows behind a gate that is still shut.
    """
    # In a healthy net there are none: on the CPU, where looking is free, a few columns tell.
    if w.device.type == "cpu" and not _may_have_twins(w):
        return torch.zeros((), dtype=torch.float64)
    pairs = twins(w)
    if w.device.type == "cpu" and not pairs.numpy().any():
        return torch.zeros((), dtype=torch.float64)
    moved = gradient.flatten(1).abs().amax(1) > 0
    pairs &= twins(gradient) & (moved[1:] | ~moved.any())
    return pairs.sum(dtype=torch.float64) + pairs.any()


def twins(w: Tensor) -> Tensor:
    """Whether each row but the first equals the one before it up to rounding: bool, shape (rows - 1,).

    The gradients of equal units come out of a matrix product whose blocking may round them differently, so
    that they agree to a few units in the last place only.
    """
    rows = w.flatten(1)
    gap = (rows[1:] - rows[:-1]).abs().amax(1)
    scale = rows[1:].abs().amax(1)
    return gap <= _ROUNDING * torch.finfo(w.dtype).eps * scale


def _may_have_twins(w: Tensor) -> bool:
    """False only where the first columns show that no row can equal the one before it."""
    few = w.flatten(1)[:, :_COLUMNS]
    scale = host(torch.linalg.vector_norm(w))  # of no row larger
    gap = (few[1:] - few[:-1]).abs().amax(1)
    return not host(gap.amin()) > _ROUNDING * torch.finfo(w.dtype).eps * scale
