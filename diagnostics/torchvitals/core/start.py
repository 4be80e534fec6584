"""What the first look at a network tells of the training to come: how far signal and gradient carry."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torchvitals.core.snapshot import encode


@dataclass(frozen=True)
class Site:
    """One site of a network at one step."""

    name: str
    op: str
    signal: float
    """root mean square of what it gives"""
    gradient: float | None
    """norm of the gradient of the loss by it; None where none came back"""


@dataclass(frozen=True, kw_only=True)
class Start:
    """A network at its first step, before anything was learned."""

    profile: tuple[Site, ...] = ()
    """all sites in execution order"""
    factors: Mapping[str, float] = field(default_factory=dict)
    """per layer of the plain part of the net: measured and expected factor of signal and gradient"""
    trainable_depth: float | None = None
    """layers of this kind over which the gradient's norm would change by three decades, inf where it does not
    change; None where the net has no plain part of three layers or more
    """
    without_gradient: tuple[str, ...] = ()
    """trainable parameters to which this batch brought no gradient, or one of exactly 0"""

    def to_dict(self) -> dict[str, Any]:
        depth = None if self.trainable_depth is None else encode(self.trainable_depth)
        sites = [
            {**asdict(s), "signal": encode(s.signal), "gradient": s.gradient and encode(s.gradient)}
            for s in self.profile
        ]
        factors = {name: encode(value) for name, value in self.factors.items()}
        return {**asdict(self), "profile": sites, "factors": factors, "trainable_depth": depth}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Start":
        depth = data["trainable_depth"]
        return cls(
            profile=tuple(
                Site(
                    s["name"],
                    s["op"],
                    float(s["signal"]),
                    None if s["gradient"] is None else float(s["gradient"]),
                )
                for s in data["profile"]
            ),
            factors={name: float(value) for name, value in data["factors"].items()},
            trainable_depth=None if depth is None else float(depth),
            without_gradient=tuple(data["without_gradient"]),
        )
