"""The start of a training as text: the network site by site, and how deep it may be."""

import math
from collections.abc import Iterator, Sequence

from torchvitals.core.start import Site, Start

MOST = 32
"""Sites that are printed; of more, the first and last half of these."""
MOST_NAMES = 4
"""Parameters without a gradient that are named."""


def table(sites: Sequence[Site]) -> Iterator[str]:
    """A table of the sites in execution order; nothing where there are none."""
    if not sites:
        return
    width = max(4, *(len(site.name) for site in sites))
    yield f"{'site':<{width}}  {'op':<12}  {'signal rms':>10}  {'gradient':>10}"
    shown = sites if len(sites) <= MOST else (*sites[: MOST // 2], *sites[-MOST // 2 :])
    for place, site in enumerate(shown):
        if place == MOST // 2 and len(shown) < len(sites):
            yield f"... {len(sites) - len(shown)} more sites ..."
        gradient = "none" if site.gradient is None else f"{site.gradient:.2e}"
        yield f"{site.name:<{width}}  {site.op:<12}  {site.signal:>10.2e}  {gradient:>10}"


def carries(start: Start) -> str:
    """How far signal and gradient carry, in sentences; empty where theory cannot speak of the net."""
    told = []
    for name in ("signal", "gradient"):
        if name in start.factors:
            measured, expected = start.factors[name], start.factors[f"expected_{name}"]
            told.append(f"Per layer the {name} changes by {measured:.2f} (theory: {expected:.2f}).")
    if start.trainable_depth is not None:
        depth = (
            "does not change"
            if math.isinf(start.trainable_depth)
            else f"changes by three decades in {start.trainable_depth:.0f} layers"
        )
        told.append(f"At that rate the gradient {depth}.")
    return " ".join(told)


def starved(start: Start) -> str:
    """Which parameters the first batch brought no gradient; empty where all had one."""
    if not start.without_gradient:
        return ""
    names = ", ".join(start.without_gradient[:MOST_NAMES])
    return f"{len(start.without_gradient)} trainable parameters got no gradient from this batch: {names}."
