"""Probes that look at parameters and gradients where they lie, without hooks."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from torchvitals.probes.base import Probe
from torchvitals.probes.measurement import Measurement, Row, stacked
from torchvitals.probes.norms import Entry, NormProbe
from torchvitals.probes.reduce import count_zeros, dense, numbers, resolution
from torchvitals.probes.twins import is_matrix, symmetric_rows


class GradientProbe(NormProbe):
    """Gradients as the optimizer will consume them, at every step."""

    name = kind = "gradient"
    provides = frozenset({"gradient"})
    always = True

    def gradients_ready(self, *, due: bool) -> None:
        gradients = self.subject.gradients()
        if due or not self.keep_whole([gradient for _, _, gradient in gradients]):
            self.keep(Entry(name=name, x=dense(gradient)) for name, _, gradient in gradients)


class ParameterProbe(NormProbe):
    """Parameters as the forward pass of the step used them, and what each of them is."""

    name = kind = "parameter"
    provides = frozenset({"parameter"})

    def gradients_ready(self, *, due: bool) -> None:
        if due and not self._blocks:
            held, owners = self.subject.held(), dict(self.subject.model.named_modules())
            self.keep(
                Entry(name=name, x=dense(p), known=self._known(p, owners[name.rpartition(".")[0]], held))
                for name, p in self.subject.parameters
                if p.is_floating_point() or p.is_complex()
            )

    def _known(self, p: Tensor, owner: nn.Module, held: frozenset[int]) -> dict[str, float | str]:
        return {
            "resolution": resolution(p),
            "fan_in": _fan_in(p, owner),
            "trainable": float(p.requires_grad),
            "held": float(id(p) in held or not self.subject.optimizers),
            "op": type(owner).__name__,
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
        trainable = [(n, p) for n, p in self.subject.parameters if p.requires_grad and p.is_floating_point()]
        # Several optimizers may step one after the other: the copy from before the first one counts.
        self._before = self._before or {name: p.detach().clone() for name, p in trainable}

    def collect(self) -> Iterable[Measurement]:
        now = {name: p.detach() for name, p in self.subject.parameters}
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
        self._rows: list[Row] = []

    def gradients_ready(self, *, due: bool) -> None:
        if not due:
            return
        embeddings = {
            path for path, m in self.subject.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))
        }
        for name, parameter, gradient in self.subject.gradients():
            # Rows of an embedding are tokens, not units.
            if is_matrix(parameter, gradient) and name.rpartition(".")[0] not in embeddings:
                count = symmetric_rows(parameter.detach(), gradient.detach())
                known = {"rows": float(parameter.shape[0])}
                self._rows.append(Row(name=name, known=known, values=count.reshape(1)))

    def collect(self) -> Iterable[Measurement]:
        rows, self._rows = self._rows, []
        return stacked("symmetry", rows, ("symmetric_rows",))
