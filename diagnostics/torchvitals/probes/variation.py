"""How much the samples of a tensor differ from each other: what the summary of its entries cannot tell."""

import math

import torch
from torch import Tensor

from torchvitals.probes.reduce import NARROW, dense, host, summarise

FEATURES = ("sum", "sum_sq", "abs_max", "low", "high", "spread", "freedom", "top_column")
"""Order of the numbers that `features` returns."""


def features(x: Tensor) -> Tensor:
    """`FEATURES` of a dense floating tensor whose dimension 0 is the batch: shape (8,), float64."""
    x = x.detach()
    return torch.cat([summarise(x)[1:], extremes(x), spread(x), top_column(x)])


def spread(x: Tensor) -> Tensor:
    """Squared deviations from the mean over dimension 0, summed, and their degrees of freedom: shape (2,),
    float64.

    Their quotient is the variance over the samples. Both are 0 where there is nothing to compare: one sample,
    a sparse tensor, or one that is not finite.
    """
    gap = _deviations(x)
    if gap is None:
        return torch.zeros(2, dtype=torch.float64, device=x.device)
    freedom = float(gap.numel() - gap[0].numel())
    if gap.device.type == "cpu" and math.isfinite(norm := host(torch.linalg.vector_norm(gap))):
        return torch.tensor([norm * norm, freedom], dtype=torch.float64)
    total = torch.linalg.vector_norm(gap, dtype=torch.float64).square()
    finite = torch.isfinite(total)
    return torch.stack([torch.where(finite, total, 0.0), freedom * finite.double()])


def top_column(x: Tensor) -> Tensor:
    """Largest part of a matrix' `spread` that one of several columns has, in [0, 1]: shape (1,), float64.

    0 for tensors of another shape and for those without a spread.
    """
    gap = _deviations(x) if x.ndim == 2 and x.shape[1] > 1 else None
    if gap is None:
        return torch.zeros(1, dtype=torch.float64, device=x.device)
    columns = torch.linalg.vector_norm(gap, dim=0, dtype=torch.float64).square()
    share = columns.max() / columns.sum()
    return torch.where(torch.isfinite(share), share, 0.0).reshape(1)


def extremes(x: Tensor) -> Tensor:
    """Smallest and largest finite entry, 0 where there is none: shape (2,), float64."""
    ends = torch.stack(torch.aminmax(x.detach())).double()
    if ends.device.type == "cpu" and bool(torch.isfinite(ends).all()):
        return ends
    finite = torch.isfinite(x)
    low = torch.where(finite, x.detach(), math.inf).amin()
    high = torch.where(finite, x.detach(), -math.inf).amax()
    ends = torch.stack([low, high]).double()
    return torch.where(torch.isfinite(ends), ends, 0.0)


def dormant(out: Tensor, unit_dim: int, *, below: float = 0.025) -> Tensor:
    """Units whose mean absolute output is at most `below` times that of their layer: bool, shape (units,).

    All are where the layer gives nothing but 0, and none where it gives a number that is not finite.
    """
    out = dense(out)
    others = [dim for dim in range(out.ndim) if dim != unit_dim]
    wide = torch.float32 if out.dtype in NARROW else out.dtype
    means = out.abs().mean(others, dtype=wide) if others else out.abs().to(wide)
    layer = means.mean()
    return (means <= below * layer) & torch.isfinite(layer)


def _deviations(x: Tensor) -> Tensor | None:
    """`x` less its mean over dimension 0, in float32 or wider; None where there are no two samples."""
    if x.layout is not torch.strided or x.ndim == 0 or x.shape[0] < 2 or x.numel() == 0:
        return None
    x = dense(x)
    return x - x.mean(0, dtype=torch.float32 if x.dtype in NARROW else x.dtype)
