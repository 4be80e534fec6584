"""Walks autograd graphs: which leaf tensors lead to a result."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor

MAX_NODES = 200_000
"""Nodes after which a walk gives up."""

Node = Any


class Opaque(Exception):
    """The graph is too large, or hides a part of itself until the backward pass."""


def leaves(roots: Iterable[Node | None], *, behind: Iterable[Node] = ()) -> dict[int, Tensor]:
    """Leaf tensors that the nodes `roots` were computed from, by their id. Left out is what is only behind
    the nodes `behind`, and what compiled code was given: nobody knows what it did with it. The graph may
    have been used by a backward pass before. Raises `Opaque`.
    """
    seen = set(behind)
    found: dict[int, Tensor] = {}
    todo = [node for node in roots if node is not None and node not in seen]
    while todo:
        node = todo.pop()
        if node in seen:
            continue
        seen.add(node)
        if len(seen) > MAX_NODES:
            raise Opaque(f"it has more than {MAX_NODES:,} nodes")
        if "Checkpoint" in node.name():
            raise Opaque("reentrant checkpointing hides what it will recompute")
        if hasattr(node, "variable"):
            found[id(node.variable)] = node.variable
        children = [child for child, _ in node.next_functions if child is not None and child not in seen]
        if "CompiledFunction" in node.name():
            children = [child for child in children if not hasattr(child, "variable")]
        todo.extend(children)
    return found
