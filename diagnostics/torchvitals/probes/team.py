"""Which ranks train one model together, and which of them have other batches for the same part of it."""

from dataclasses import dataclass
from typing import Any

import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from torchvitals.probes.shards import is_spread, mesh_of
from torchvitals.probes.subject import Subject

MOST = 32
"""Ranks whose tables are merged."""


@dataclass(frozen=True)
class Team:
    """The ranks that train one model; the first of them alone merges and reports."""

    ranks: tuple[int, ...]
    """of the default process group"""
    me: int
    batches: tuple[int, ...]
    """those that compute with this rank's parts of the model on batches of their own, itself among them"""
    replicas: bool
    """whether each holds the whole model"""

    @property
    def first(self) -> int:
        return self.ranks[0]

    @property
    def place(self) -> int:
        """Of this rank among the others, from 0."""
        return self.ranks.index(self.me)

    @property
    def tells_batches(self) -> bool:
        """Whether what this rank's batch gave is merged with that of the first."""
        return self.first in self.batches and self.place < MOST


def several_ranks() -> bool:
    """Whether this process is one of several that talk to each other."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def team_of(subject: Subject) -> tuple[Team | None, str]:
    """The team of this rank, or why there is none; without a word where there is only one rank."""
    if not several_ranks():
        return None, ""
    try:
        return _found(subject, dist.get_rank())
    except Exception as error:  # what torch keeps to itself may be elsewhere in another version
        return None, f"who trains with whom is not known ({type(error).__name__})"


def _found(subject: Subject, me: int) -> tuple[Team | None, str]:
    modules = list(subject.wrapper.modules())
    wrapper = next((m for m in modules if isinstance(m, DistributedDataParallel)), None)
    if wrapper is not None:
        ranks = tuple(dist.get_process_group_ranks(wrapper.process_group))
        return Team(ranks, me, ranks, replicas=True), ""
    meshes = [mesh_of(p) for _, p in subject.parameters if is_spread(p)]
    if not meshes:
        return None, "the model is not wrapped in DistributedDataParallel"
    ranks = _ranks(max(meshes, key=lambda mesh: mesh.size()))
    return Team(ranks, me, _batches(modules, me), replicas=False), ""


def _batches(modules: list[Any], me: int) -> tuple[int, ...]:
    """Ranks among which `fully_shard` averages gradients; torch tells them in private only."""
    for module in modules:
        if hasattr(module, "_get_fsdp_state"):
            group = getattr(module._get_fsdp_state(), "_fsdp_param_group", None)
            if group is not None:
                return _ranks(group.mesh_info.mesh)
    return (me,)


def _ranks(mesh: Any) -> tuple[int, ...]:
    return tuple(sorted(mesh.mesh.flatten().tolist()))
