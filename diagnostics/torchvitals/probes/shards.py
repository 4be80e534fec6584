"""Tensors that are spread over processes: which part of one lies here, and which rank tells of it.

Nothing here talks to another process. Such tensors (`DTensor`) are told by what they have, because importing
their class costs as much as all of torchvitals.
"""

from typing import Any

import torch
from torch import Tensor, nn


def local(x: Tensor) -> Tensor:
    """The part of a tensor that lies on this rank; any other tensor as it is."""
    if type(x) is Tensor or type(x) is nn.Parameter:
        return x
    with torch.no_grad():
        if hasattr(x, "to_local"):
            x = x.to_local()  # type: ignore[attr-defined]
        if type(x).__name__ == "AsyncCollectiveTensor":
            x = x.wait()  # type: ignore[attr-defined]  # for what the model has sent for, and reads next
    return x


def is_spread(x: Tensor) -> bool:
    """Whether this rank holds a part of it only."""
    mesh = mesh_of(x)
    several = mesh is not None and mesh.size() > 1
    return several and any(not place.is_replicate() for place in _placements(x))


def is_partial(x: Tensor) -> bool:
    """Whether what lies here is a summand: nothing is known of the sum without the other ranks' summands."""
    return any(place.is_partial() for place in _placements(x))


def same_places(x: Tensor, y: Tensor) -> bool:
    """Whether two tensors of one shape lie in the same parts on the same ranks."""
    return _placements(x) == _placements(y) and getattr(x, "device_mesh", None) == getattr(
        y, "device_mesh", None
    )


def owns(x: Tensor, first: int) -> bool:
    """Whether this rank tells of its part, so that all parts of `x` are told once: of several copies it is
    the one that rank `first` has a part of.
    """
    mesh = mesh_of(x)
    if mesh is None:
        return False
    places, mine = (mesh.mesh == first).nonzero().tolist(), mesh.get_coordinate()
    if not places or mine is None:
        return False
    return all(
        not place.is_replicate() or mine[dim] == places[0][dim] for dim, place in enumerate(_placements(x))
    )


def mesh_of(x: Tensor) -> Any:
    """The processes that it is spread over, or None."""
    return getattr(x, "device_mesh", None)


def plain_class(module: nn.Module) -> type[nn.Module]:
    """The user's class of a module: `fully_shard` gives it one of its own that begins with "FSDP"."""
    kind = type(module)
    made = kind.__name__.startswith("FSDP") and kind.__module__.startswith("torch.distributed.fsdp")
    return kind.__mro__[2] if made and len(kind.__mro__) > 2 else kind


def _placements(x: Tensor) -> tuple[Any, ...]:
    return tuple(getattr(x, "placements", ()))
