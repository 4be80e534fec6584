"""What made a tensor, read from its autograd node: the last softmax, sigmoid, ... behind changes of shape."""

import math

from torch import Tensor

from torchvitals.probes.nodes import RESHAPING, SAME_SHAPE, Node, Shape, following, kind_of, shape_of

MAKERS = {
    "SoftmaxBackward": "softmax",
    "LogSoftmaxBackward": "log_softmax",
    "SigmoidBackward": "sigmoid",
    "LogSigmoidBackward": "log_sigmoid",
    "ReluBackward": "relu",
    "TanhBackward": "tanh",
    "SoftplusBackward": "softplus",
    "ExpBackward": "exp",
}
_SQUASHING = ("softmax", "sigmoid")
_MOVING = ("PermuteBackward", "TransposeBackward", "TBackward")
_TAKING = ("SelectBackward", "SliceBackward", "ExpandBackward")
_DEEPEST = 16
"""nodes that are looked at"""


def made_by(x: Tensor) -> tuple[str, int]:
    """What made `x`, and along which of its dimensions: ("softmax", 1), ("relu", -1), or ("", -1).

    The dimension is -1 where there is none or a change of shape hid it. What squashes a second time is told
    as "sigmoid+sigmoid"; the logarithm of a softmax is a "log_softmax", whichever way it was computed.
    """
    node, passed = _skip_shapes(x.grad_fn)
    log = node is not None and kind_of(node) == "LogBackward"
    if log:
        node, more = _skip_shapes(following(node))
        passed += more
    name = MAKERS.get(kind_of(node), "") if node is not None else ""
    if node is None or not name or (log and name != "softmax"):
        return "", -1
    inner, _ = _skip_shapes(following(node))
    first = MAKERS.get(kind_of(inner), "") if inner is not None else ""
    twice = first in _SQUASHING and name in (*_SQUASHING, "log_softmax")
    axis = _axis(node, passed) if "softmax" in name else -1
    name = "log_softmax" if log else name
    return (f"{first}+{name}" if twice else name), axis


def _skip_shapes(node: Node | None) -> tuple[Node | None, list[Node]]:
    """The first node that computes something, and the nodes passed on the way to it."""
    passed: list[Node] = []
    while node is not None and len(passed) < _DEEPEST and kind_of(node) in _SHAPES:
        passed.append(node)
        node = following(node)
    return node, passed


_SHAPES = frozenset((*SAME_SHAPE, *RESHAPING, *_MOVING, *_TAKING))


def _axis(maker: Node, passed: list[Node]) -> int:
    """Where the maker's dimension is after the nodes passed, the last of them first; -1 if that is hidden."""
    before = shape_of(maker)
    axis = _signed(maker._saved_dim) % len(before) if before else -1
    for node in reversed(passed):
        after = shape_of(node)
        if axis >= 0:
            axis = _moved(axis, node, before, after)
        before = after
    return axis


def _moved(axis: int, node: Node, before: Shape, after: Shape) -> int:
    kind = kind_of(node)
    if kind in RESHAPING:
        return _reshaped(axis, before, after)
    if kind == "TBackward":
        return len(before) - 1 - axis
    if kind == "TransposeBackward":
        a, b = (_signed(d) % len(before) for d in (node._saved_dim0, node._saved_dim1))
        return {a: b, b: a}.get(axis, axis)
    if kind == "PermuteBackward":
        return [_signed(d) % len(before) for d in node._saved_dims].index(axis)
    if kind == "SelectBackward":
        gone = _signed(node._saved_dim) % len(before)
        return -1 if gone == axis else axis - (gone < axis)
    return axis + len(after) - len(before)  # expanding adds dimensions in front; the others add none


def _reshaped(axis: int, before: Shape, after: Shape) -> int:
    """The dimension of the new shape that has the same length and the same amount in front of it."""
    for place, length in enumerate(after):
        if length == before[axis] and math.prod(after[:place]) == math.prod(before[:axis]):
            return place
    return -1


def _signed(dim: int) -> int:
    """Autograd hands negative dimensions out as unsigned 64-bit numbers."""
    return dim - 2**64 if dim >= 2**63 else dim
