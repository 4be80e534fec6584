"""Probes that look at parameters and gradients where they lie, without hooks."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from torchvitals.probes.base import Probe
from torchvitals.probes.measurement import Measurement, Row, stacked
from torchvitals.probes.norms import Entry, NormProbe
from torchvitals.probes.reduce import count_zeros, dense, is_real_valued, numbers, resolution
from torchvitals.probes.scaler import inner_scale
from torchvitals.probes.shards import is_spread, local, plain_class
from torchvitals.probes.twins import is_matrix, symmetric_rows


class GradientProbe(NormProbe):
    """Gradients as the optimizer will consume them, at every step."""

    name = kind = "gradient"
    provides = frozenset({"gradient"})
    always = True

    def gradients_ready(self, *, due: bool) -> None:
        gradients = self.subject.gradients()
        scales = self._scales()
        parts = self._parts(gradients)
        self.forget({*parts, *(name for name, _, _ in gradients)})
        if due or scales or not parts or not self.keep_whole(parts):
            self.keep(Entry(name=n, x=dense(g), scale=scales.get(id(p))) for n, p, g in gradients)

    def _parts(self, gradients: list[tuple[str, nn.Parameter, Tensor]]) -> dict[str, list[Tensor]]:
        """Gradients by what they are told as in a step that is not due: those of each optimizer, since every
        one may be told of again before its own step. None where optimizers share parameters.
        """
        optimizers = self.subject.optimizers
        if len(optimizers) < 2:
            return {"all": [g for _, _, g in gradients]}
        held = [{id(p) for group in o.param_groups for p in group["params"]} for o in optimizers]
        if sum(map(len, held)) > len(frozenset().union(*held)):
            return {}
        parts: dict[str, list[Tensor]] = {}
        for _, p, g in gradients:
            whose = next((i for i, ids in enumerate(held) if id(p) in ids), len(held))
            parts.setdefault(f"all[{whose}]", []).append(g)
        return parts

    def _scales(self) -> dict[int, Tensor | float]:
        """What the gradients of parameters, by their ids, are still multiplied by."""
        found: dict[int, Tensor | float] = {}
        for optimizer in self.subject.optimizers:
            scale: Tensor | float | None = inner_scale(optimizer)
            if scale is None and self.scaler is not None and not self.subject.unscaled:
                scale = self.scaler.pending(optimizer)
            if scale is not None:
                found |= {id(p): scale for group in optimizer.param_groups for p in group["params"]}
        return found


class ParameterProbe(NormProbe):
    """Parameters as the forward pass of the step used them, and what each of them is."""

    name = kind = "parameter"
    provides = frozenset({"parameter"})

    def gradients_ready(self, *, due: bool) -> None:
        if due:
            self.before_update()

    def before_update(self) -> None:
        # Gradients that a closure computes inside of the optimizer are read when the parameters have changed.
        if not self._blocks:
            held, owners = self.subject.held(), dict(self.subject.model.named_modules())
            self.keep(
                Entry(name=name, x=dense(p), known=self._known(p, owner, held))
                for name, p in self.subject.parameters
                # A module that was replaced since the last look has its new name from the next one on.
                if is_real_valued(p) and (owner := owners.get(name.rpartition(".")[0])) is not None
            )

    def _known(self, p: Tensor, owner: nn.Module, held: frozenset[int]) -> dict[str, float | str]:
        return {
            "resolution": resolution(p),
            "fan_in": _fan_in(p, owner),
            "trainable": float(self.subject.trainable(p)),
            "held": float(id(p) in held or not self.subject.optimizers),
            "op": plain_class(owner).__name__,
        }


def _fan_in(p: Tensor, owner: nn.Module) -> float:
    weighted = isinstance(owner, (nn.Linear, nn.modules.conv._ConvNd)) and p.ndim >= 2
    return float(math.prod(p.shape[1:])) if weighted else 0.0


class UpdateProbe(NormProbe):
    """True updates w(t+1) - w(t), from a copy of the parameters that lives only while the optimizer steps."""

    name = kind = "update"
    provides = frozenset({"update"})
    adds = ("unchanged", "idle")

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._before: dict[str, Tensor] = {}
        self._wishes: dict[str, _Wish] = {}

    def gradients_ready(self, *, due: bool) -> None:
        # Noted here and not after the step: optimizers may write into gradients, and users empty them. What
        # clips them later leaves zeros and no others at 0.
        if due:
            self._wishes |= {name: _Wish.of(gradient) for name, _, gradient in self.subject.gradients()}

    def before_update(self) -> None:
        if self._before:
            return  # several optimizers step one after the other: the copy from before the first one counts
        # Of a gradient that is still to be summed over ranks nobody knows which entries are 0.
        self._before = {
            name: local(p.detach()).clone()
            for name, p in self.subject.parameters
            if self.subject.trainable(p) and is_real_valued(p) and name not in self.subject.unsummed
        }

    def collect(self) -> Iterable[Measurement]:
        now = {name: local(p.detach()) for name, p in self.subject.parameters}
        kept = [n for n, before in self._before.items() if n in now and now[n].shape == before.shape]
        self.keep(self._entry(name, now[name]) for name in kept)
        self.disarm()
        return super().collect()

    def _entry(self, name: str, now: Tensor) -> Entry:
        change = torch.sub(now, before := self._before[name], out=before)
        return Entry(name=name, x=dense(change), known={"resolution": resolution(now)})

    def further(self, entries: list[Entry]) -> Tensor:
        wishes = [self._wishes.get(entry.name) or _Wish.none(entry.x) for entry in entries]
        found = [wish.counts(entry.x) for wish, entry in zip(wishes, entries, strict=True)]
        return numbers(found, entries[0].x.device)

    def disarm(self) -> None:
        self._before, self._wishes = {}, {}

    def blind(self) -> Iterable[str]:
        held = self.subject.held()
        if not self.subject.optimizers:
            yield "No optimizer was given, so updates were not measured."
        elif not any(id(p) in held for _, p in self.subject.parameters):
            yield "The optimizer holds no parameter of the model."


@dataclass(frozen=True)
class _Wish:
    """Which entries of a parameter its gradient wants to move."""

    idle: float | Tensor
    """how many it does not"""
    moved: Tensor | None
    """those that it does; None where that is all of them, as for most parameters"""

    @classmethod
    def of(cls, gradient: Tensor) -> "_Wish":
        """Entries that a sparse gradient does not store it does not move."""
        gradient = gradient.detach()
        gradient = gradient.to_dense() if gradient.is_sparse else gradient
        gradient = dense(gradient)
        idle = count_zeros(gradient)
        return cls(idle, None if isinstance(idle, float) and idle == 0 else gradient != 0)

    @classmethod
    def none(cls, parameter: Tensor) -> "_Wish":
        """Without a gradient all entries are idle."""
        return cls(float(parameter.numel()), torch.zeros((), dtype=torch.bool, device=parameter.device))

    def counts(self, change: Tensor) -> tuple[float | Tensor, float | Tensor]:
        """`unchanged` and `idle`, given how the update changed the parameter."""
        still = count_zeros(change)
        if self.moved is not None:  # of those that stood still, less the ones that had no reason to move
            still = still - count_zeros(change.masked_fill(self.moved, 1.0))
        return still, self.idle


class SymmetryProbe(Probe):
    """Units of a weight matrix that are twins of their neighbour in weights and gradient."""

    name = "symmetry"
    provides = frozenset({"symmetry"})

    def start(self, subject, wanted) -> None:
        super().start(subject, wanted)
        self._rows: dict[str, Row] = {}

    def gradients_ready(self, *, due: bool) -> None:
        if not due:
            return
        embeddings = {
            path for path, m in self.subject.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))
        }
        for name, parameter, gradient in self.subject.gradients():
            # Rows of an embedding are tokens, not units; of others some may lie on other ranks.
            told = name.rpartition(".")[0] not in embeddings and not is_spread(parameter)
            if told and is_matrix(parameter, gradient):
                count = symmetric_rows(local(parameter.detach()), gradient.detach())
                known = {"rows": float(parameter.shape[0])}
                self._rows[name] = Row(name=name, known=known, values=count.reshape(1))

    def collect(self) -> Iterable[Measurement]:
        rows, self._rows = self._rows, {}
        return stacked("symmetry", list(rows.values()), ("symmetric_rows",))

    def blind(self) -> Iterable[str]:
        if any(is_spread(p) for _, p in self.subject.parameters):
            yield "Equal units of sharded weight matrices were not looked for."
