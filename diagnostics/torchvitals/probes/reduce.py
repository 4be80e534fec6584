"""Reductions of one tensor to a few numbers, without waiting for a device and without disturbing anything."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchvitals.core.tables import NONE_BAD, ROWS
from torchvitals.probes.shards import is_partial, local

NARROW = (torch.float16, torch.bfloat16)
"""Floating dtypes too narrow to sum in."""
STATISTICS = ("nonfinite", "sum", "sum_sq", "abs_max")
"""Order of the numbers that `summarise` returns."""
SMALL = 2**14
"""Entries up to which a pass over a tensor costs less than calling for it."""
TINY = 1e-15
"""Norm below which squares of a float32 tensor underflow, and have to be summed in float64."""


def dense(x: Tensor) -> Tensor:
    """The stored real numbers of a tensor that may be sparse, complex or spread over processes, outside of
    autograd.
    """
    x = local(x.detach())
    if x.is_sparse:
        x = x.coalesce().values()
    return torch.view_as_real(x.resolve_conj()) if x.is_complex() else x


def summarise(x: Tensor) -> Tensor:
    """`STATISTICS` of a tensor of any shape and floating dtype: shape (4,), float64, on the device of `x`."""
    return summarise_each(dense(x)[None])[0]


def summarise_each(xs: Tensor, total: float | None = None) -> Tensor:
    """`STATISTICS` of each of the stacked dense tensors `xs`, shape (n, ...): shape (n, 4), float64. The
    `total` of a large finite one, if known, spares a pass.
    """
    if xs.numel() == 0:
        return xs.new_zeros((xs.shape[0], 4), dtype=torch.float64)
    if xs.shape[0] == 1 and xs.numel() > SMALL:
        return _summarise_large(xs[0], total)[None]
    rows = xs.reshape(xs.shape[0], -1)
    rows = rows.float() if rows.dtype in NARROW else rows
    if xs.device.type == "cpu":
        squares = rows.square().sum(1).double()
        if sums_hold(squares):
            extreme = torch.maximum(rows.amax(1), -rows.amin(1)).double()
            return torch.stack([torch.zeros_like(squares), rows.sum(1).double(), squares, extreme], dim=1)
    return exactly(rows)


def sums_hold(squares: Tensor) -> bool:
    """Whether sums of squares of float32 tensors, on the CPU, have neither over- nor underflown; then the
    tensors are finite.
    """
    found = squares.numpy()
    return bool(((found > TINY**2) & (found < math.inf)).all())


def _summarise_large(x: Tensor, total: float | None) -> Tensor:
    """On the CPU three cheap passes suffice as long as everything is finite and no square underflows, and
    looking at the result costs no synchronisation. Elsewhere all passes run unconditionally, because
    branching would wait for the device.
    """
    if x.device.type != "cpu":
        return exactly(x.reshape(1, -1))[0]
    wide = torch.float32 if x.dtype in NARROW else None
    norm = host(torch.linalg.vector_norm(x, dtype=wide))
    total = host(x.sum(dtype=wide)) if total is None else total
    if not (TINY < norm < math.inf and math.isfinite(total)):
        return exactly(x.reshape(1, -1))[0]
    low, high = torch.aminmax(x)
    return torch.tensor([0.0, total, norm * norm, max(-host(low), host(high))], dtype=torch.float64)


def exactly(rows: Tensor) -> Tensor:
    """`STATISTICS` of each row of a matrix, summed in float64 with NaN and Inf left out: shape (n, 4)."""
    bad = (~torch.isfinite(rows)).sum(1, dtype=torch.float64)
    clean = torch.nan_to_num(rows, nan=0.0, posinf=0.0, neginf=0.0)
    norm = torch.linalg.vector_norm(clean, dim=1, dtype=torch.float64)
    extreme = torch.maximum(clean.amax(1), -clean.amin(1)).double()
    return torch.stack([bad, clean.sum(1, dtype=torch.float64), norm * norm, extreme], dim=1)


def first_bad(x: Tensor, batch: int) -> Tensor:
    """First sample (index along dimension 0) with a non-finite entry, as `batch * ROWS + row`: shape (1,),
    float64.
    """
    x = dense(x)
    if x.device.type == "cpu" and math.isfinite(host(x.sum())):
        return torch.tensor([NONE_BAD], dtype=torch.float64)
    bad = ~torch.isfinite(x.reshape(x.shape[0] if x.ndim else 1, -1)).all(1)
    place = batch * ROWS + bad.to(torch.uint8).argmax().double()
    return torch.where(bad.any(), place, NONE_BAD).reshape(1)


def known_finite(x: Tensor) -> bool:
    """Whether one pass over a tensor on the CPU shows that all of it is finite; False where it would take
    more to know, or waiting for a device.
    """
    if x.device.type != "cpu" or x.layout is not torch.strided or x.is_complex():
        return False
    return math.isfinite(host(x.detach().sum(dtype=torch.float32 if x.dtype in NARROW else None)))


def count_zeros(x: Tensor) -> float | Tensor:
    """Entries that are exactly 0; where reading a number would wait for a device, as a float64 scalar."""
    if x.device.type != "cpu":
        return (x.numel() - torch.count_nonzero(x)).double()
    if x.dtype in NARROW:
        return float(x.numel()) - float(torch.count_nonzero(x).numpy())
    return float(np.count_nonzero(x.numpy() == 0))  # several times faster than torch


def numbers(rows: Sequence[Sequence[float | Tensor]], device: torch.device) -> Tensor:
    """Numbers, some of them on `device`, as one tensor there: float64, shape (rows, columns)."""
    if device.type == "cpu":
        return torch.tensor(rows, dtype=torch.float64)
    return torch.stack([torch.stack([_on(device, x) for x in row]) for row in rows])


def _on(device: torch.device, x: float | Tensor) -> Tensor:
    """A float64 scalar there; filling memory, unlike copying a number to it, waits for nothing."""
    return x if isinstance(x, Tensor) else torch.full((), x, dtype=torch.float64, device=device)


def host(x: Tensor) -> float:
    """The value of a one-element CPU tensor, read from memory: no device is involved, so nothing waits."""
    return float(x.float().numpy() if x.dtype is torch.bfloat16 or x.dtype.itemsize == 1 else x.numpy())


def limit(x: Tensor) -> float:
    """Largest finite number of the tensor's dtype."""
    return torch.finfo(x.dtype).max


def resolution(x: Tensor) -> float:
    """Gap between 1 and the next number of the tensor's dtype."""
    return torch.finfo(x.dtype).eps


def readable(x: Tensor) -> bool:
    """Whether the reductions here can read the tensor: ragged and compressed sparse ones they cannot, nor
    numbers of 8 bits, nor summands of which other processes have the rest.
    """
    plain = not x.is_nested and x.layout in (torch.strided, torch.sparse_coo) and not is_partial(x)
    return plain and is_real_valued(x)


def is_real_valued(x: Tensor) -> bool:
    """Whether its entries are numbers with a size, in a dtype that torch can calculate in."""
    return (x.is_floating_point() and x.dtype.itemsize > 1) or x.is_complex()


def tensors(value: Any) -> Iterator[Tensor]:
    """The floating tensors inside whatever modules take and give: sequences, mappings, dataclasses."""
    if isinstance(value, Tensor):
        if readable(value):
            yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, (tuple, list)):
        # A list of numbers is data, and may be long.
        for item in value if not (value and isinstance(value[0], (int, float, str))) else ():
            yield from tensors(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for item in fields(value):
            yield from tensors(getattr(value, item.name))
