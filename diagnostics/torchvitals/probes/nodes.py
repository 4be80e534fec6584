"""Nodes of autograd graphs: what made a tensor, and of which shape it is."""

from typing import Any

Node = Any
Shape = tuple[int, ...]

SAME_SHAPE = ("CloneBackward", "AliasBackward", "ToCopyBackward", "ContiguousBackward", "ClampBackward")
RESHAPING = (
    *("ViewBackward", "UnsafeViewBackward", "ReshapeAliasBackward", "AsStridedBackward"),
    *("SqueezeBackward", "UnsqueezeBackward"),
)


def following(node: Node) -> Node | None:
    """What made its first input."""
    return node.next_functions[0][0] if node.next_functions else None


def only(node: Node) -> Node | None:
    """What made its only input, all others being constants; None where there are more, or it is a leaf."""
    inputs = [child for child, _ in node.next_functions if child is not None]
    return inputs[0] if len(inputs) == 1 and not hasattr(inputs[0], "variable") else None


def kind_of(node: Node) -> str:
    """Its name without the number of the variant."""
    return node.name().rstrip("0123456789")


def shape_of(node: Node) -> Shape:
    """Of the tensor that it made."""
    return tuple(node._input_metadata[0].shape)
