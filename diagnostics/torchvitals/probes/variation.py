"""How much the samples of a tensor differ from each other: what the summary of its entries cannot tell."""

import math

import torch
from torch import Tensor

from torchvitals.probes.reduce import NARROW, SMALL, TINY, dense, host, summarise

FEATURES = ("sum", "sum_sq", "abs_max", "low", "high", "spread", "freedom", "top_column")
"""Order of the numbers that `features` returns."""
DORMANT = 0.025
"""Part of a layer's mean absolute output up to which a unit counts as dormant."""
PLAIN = 0.1
"""Part of a sum of squares that the spread has to be for the difference of the two to keep its digits."""


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
    if not _has_samples(x):
        return torch.zeros(2, dtype=torch.float64, device=x.device)
    return spread_each(dense(x)[None])[0]


def means_of_large(xs: Tensor) -> Tensor | None:
    """Means over the samples of one large dense tensor on the CPU, which spare passes; None for any other."""
    if xs.shape[0] > 1 or xs.numel() <= SMALL or xs.device.type != "cpu" or not _has_samples(xs[0]):
        return None
    return _means(xs[0], 0)


def spread_each(xs: Tensor, sum_sq: Tensor | None = None, means: Tensor | None = None) -> Tensor:
    """`spread` of each of the stacked dense tensors `xs`, shape (n, samples, ...): shape (n, 2), float64.

    Their sums of squares and `means_of_large`, if known, spare passes over a large tensor on the CPU.
    """
    if not _has_samples(xs[0]):
        return torch.zeros((xs.shape[0], 2), dtype=torch.float64, device=xs.device)
    if xs.shape[0] == 1 and xs.numel() > SMALL:
        return _spread_large(xs[0], None if sum_sq is None else sum_sq[0], means)[None]
    means = _means(xs, 1)
    if sum_sq is not None and xs.device.type == "cpu":
        left = sum_sq - means.double().square().reshape(xs.shape[0], -1).sum(1) * xs.shape[1]
        if bool(((left >= PLAIN * sum_sq) & (sum_sq > TINY**2) & (sum_sq < math.inf)).numpy().all()):
            return _with_freedom(left, xs[0])
    rows = xs.double()
    gaps = rows - rows.mean(1, keepdim=True)
    return _with_freedom(gaps.square().reshape(xs.shape[0], -1).sum(1), xs[0])


def _spread_large(x: Tensor, sum_sq: Tensor | None, means: Tensor | None) -> Tensor:
    means = _means(x, 0) if means is None else means
    if x.device.type != "cpu":
        return _with_freedom(torch.linalg.vector_norm(x - means, dtype=torch.float64).square(), x)
    freedom = float(x.numel() - x[0].numel())
    if sum_sq is not None:
        known = host(sum_sq)
        left = known - host(torch.linalg.vector_norm(means)) ** 2 * x.shape[0]
        if math.inf > known > TINY**2 and left >= PLAIN * known:  # or the means would swallow its digits
            return torch.tensor([left, freedom], dtype=torch.float64)
    gap = x - means
    if TINY < (norm := host(torch.linalg.vector_norm(gap))) < math.inf:
        return torch.tensor([norm * norm, freedom], dtype=torch.float64)
    return _with_freedom(torch.linalg.vector_norm(gap, dtype=torch.float64).square(), x)


def _with_freedom(total: Tensor, x: Tensor) -> Tensor:
    """Sums of squared deviations, shape (...), and their degrees of freedom, shape (..., 2); both 0 for a sum
    that is not finite.
    """
    finite = torch.isfinite(total)
    freedom = float(x.numel() - x[0].numel())
    return torch.stack([torch.where(finite, total, 0.0), freedom * finite.double()], dim=-1)


def top_column(x: Tensor) -> Tensor:
    """Largest part of a matrix' `spread` that one of several columns has, in [0, 1]: shape (1,), float64.

    0 for tensors of another shape and for those without a spread.
    """
    if not (_has_samples(x) and x.ndim == 2 and x.shape[1] > 1):
        return torch.zeros(1, dtype=torch.float64, device=x.device)
    x = dense(x)
    gap = x - _means(x, 0)
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


def dormant(out: Tensor, unit_dim: int) -> Tensor:
    """Units whose mean absolute output is at most `DORMANT` times that of their layer: bool, shape (units,).

    All are where the layer gives nothing but 0, and none where it gives a number that is not finite.
    """
    return dormant_each(dense(out)[None], unit_dim % out.ndim)[0]


def dormant_each(xs: Tensor, unit_dim: int) -> Tensor:
    """`dormant` of each of the stacked dense tensors `xs`, shape (n, ...), whose dimension `unit_dim`, not
    counting the first, is that of the units: bool, shape (n, units).
    """
    others = [dim for dim in range(1, xs.ndim) if dim != unit_dim + 1]
    wide = torch.float32 if xs.dtype in NARROW else xs.dtype
    means = xs.abs().mean(others, dtype=wide) if others else xs.abs().to(wide)
    layers = means.mean(1, keepdim=True)
    return (means <= DORMANT * layers) & torch.isfinite(layers)


def _has_samples(x: Tensor) -> bool:
    """Whether there are two samples or more to compare along dimension 0."""
    return x.layout is torch.strided and x.ndim > 0 and x.shape[0] > 1 and x.numel() > 0


def _means(x: Tensor, dim: int) -> Tensor:
    """Over the samples, in float32 or wider."""
    return x.mean(dim, dtype=torch.float32 if x.dtype in NARROW else x.dtype)
