"""Entries that met others than they should: read from autograd graphs, which remember all shapes."""

import math
from collections.abc import Collection

from torch import Tensor

from torchvitals.probes.nodes import RESHAPING, SAME_SHAPE, Node, following, kind_of, only, shape_of

_SCALING = ("MulBackward", "DivBackward", "NegBackward", "AddBackward")
_WHOLE = ("MeanBackward", "SumBackward")
_BY_ENTRY = (
    *("AbsBackward", "PowBackward", "SquareBackward", "SqrtBackward", "NegBackward", "ClampBackward"),
    *("LogBackward", "Log1PBackward", "ExpBackward", "CoshBackward", "TanhBackward", "SoftplusBackward"),
)
_DEEPEST = 16
"""nodes that are looked at"""


def crossed(loss: Tensor) -> int:
    """Length N of the N predictions of which each was compared with each of N constants, or 0.

    So is a loss whose graph is one line: a mean or a sum over all of an entry-by-entry function of a
    difference of shape (N, N), taken from a tensor of N. Other terms, or a factor an entry, might make sense
    of it.
    """
    whole = _through(loss.grad_fn, _SCALING)
    if whole is None or kind_of(whole) not in _WHOLE or shape_of(whole):
        return 0
    gap = _through(only(whole), _BY_ENTRY)
    prediction = only(gap) if gap is not None and kind_of(gap) == "SubBackward" else None
    n = math.prod(shape_of(prediction)) if prediction is not None else 0
    return n if n > 1 and shape_of(gap) == (n, n) else 0


def swapped(x: Tensor) -> bool:
    """Whether a view gave `x` the shape (N, C, ...) that a tensor of shape (N, ..., C) has when transposed.

    Where both shapes are one, it has to be a view of what a linear layer gave that way round.
    """
    node = x.grad_fn
    for _ in range(_DEEPEST):
        inner = following(node) if node is not None and kind_of(node) in (*SAME_SHAPE, *RESHAPING) else None
        if inner is None:
            return False
        before, after = shape_of(inner), shape_of(node)
        turned = len(before) > 2 and after == (before[0], before[-1], *before[1:-1])
        if turned and kind_of(node) in RESHAPING:
            return before != after or _linear(inner)
        node = inner
    return False


def _through(node: Node | None, kinds: Collection[str]) -> Node | None:
    """The first node of another kind, down a graph that is one line; None where it is not."""
    for _ in range(_DEEPEST):
        if node is None or kind_of(node) not in kinds:
            return node
        node = only(node)
    return None


def _linear(node: Node | None) -> bool:
    """Whether a product with a matrix gave it, whose outputs still lie along the last dimension."""
    while node is not None and kind_of(node) in ("ViewBackward", "UnsafeViewBackward"):
        node = following(node)
    return node is not None and kind_of(node) in ("AddmmBackward", "MmBackward")
