"""What was measured at one optimizer step, as plain numbers that survive a trip through JSON unchanged."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from torchvitals.core.tables import Table

H = TypeVar("H")
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Snapshot:
    """What was measured at one optimizer step.

    `scalars` holds named numbers (`loss`, `lr`, `gradient_norm`, ...; the loss may be nan or inf, for that is
    a measurement), `labels` named words (`optimizer`, `dtype`, ...), `tables` one table per kind of
    measurement. A step that was not due has scalars and labels only.
    """

    step: int
    scalars: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    due: bool = True
    """whether the step was looked at closely; else it has tables only of what was not finite"""

    def __getitem__(self, kind: str) -> Table:
        return self.tables[kind]

    def __contains__(self, kind: str) -> bool:
        return kind in self.tables

    @cached_property
    def kinds(self) -> frozenset[str]:
        """Kinds of its tables."""
        return frozenset(self.tables)

    def __getstate__(self) -> dict[str, Any]:
        """What was measured, without what `remembered` functions made of it: those are not to be pickled."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @cached_property
    def _readings(self) -> dict[Any, Any]:
        """What `remembered` functions made of it."""
        return {}

    @cached_property
    def nonfinite(self) -> bool:
        """Whether the loss or any table but that of the inputs holds a NaN or Inf.

        Inputs are what was given and not what was computed: a mask of -inf is no illness, and a NaN among
        them shows in the output.
        """
        computed = [t for kind, t in self.tables.items() if kind != "input" and "nonfinite" in t.columns]
        bad = any(bool(t["nonfinite"].any()) for t in computed)
        return bad or (self.loss is not None and not math.isfinite(self.loss))

    @property
    def judgeable(self) -> bool:
        """Whether the absence of a finding means anything: the step was due and nothing overflowed."""
        return self.due and bool(self.tables) and not self.nonfinite

    @cached_property
    def loss(self) -> float | None:
        """Mean loss over the micro-batches of the step, or None when nobody told it."""
        return self.scalars.get("loss")

    def to_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "scalars": {name: encode(value) for name, value in self.scalars.items()},
            "labels": dict(self.labels),
            "tables": {kind: table.to_dict() for kind, table in self.tables.items()},
            "due": self.due,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Snapshot":
        return cls(
            data["step"],
            {name: float(value) for name, value in data["scalars"].items()},
            dict(data["labels"]),
            {kind: Table.from_dict(kind, table) for kind, table in data["tables"].items()},
            data["due"],
        )


def remembered(reading: "Callable[Concatenate[H, P], T]") -> "Callable[Concatenate[H, P], T]":
    """Let a function of one snapshot, or of one window, be computed once for each: a snapshot stays in the
    window for many looks, and several diagnostics read the same of it. Further arguments are hashable, and
    what it gives is not changed.
    """

    @wraps(reading)
    def remembering(holder: Any, *args: P.args, **kwargs: P.kwargs) -> T:
        known = holder._readings
        key = (reading, args, *kwargs.items()) if args or kwargs else reading
        if key not in known:
            known[key] = reading(holder, *args, **kwargs)
        return known[key]

    return remembering


def encode(value: float) -> float | str:
    """JSON knows no nan and no inf: they travel as the texts that `float` reads."""
    return value if math.isfinite(value) else str(value)
