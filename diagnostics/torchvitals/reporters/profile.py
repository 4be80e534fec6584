"""A network site by site, as text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MOST = 32
"""Sites that are printed; of more, the first and last half of these."""


@dataclass(frozen=True)
class Site:
    """One site of a network at one step."""

    name: str
    op: str
    signal: float
    """root mean square of what it gives"""
    gradient: float | None
    """norm of the gradient of the loss by it; None where none came back"""


def lines(sites: Sequence[Site]) -> Iterator[str]:
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
