"""Which units passed a gradient over several looks, for all sites at once: their rows hardly ever change."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np

from torchvitals.core.snapshot import Snapshot, remembered
from torchvitals.core.tables import Bits


@dataclass(frozen=True)
class Firing:
    """The units of all sites at one look, site by site."""

    sites: tuple[str, ...]
    units: tuple[int, ...]
    """number of units of each site"""
    fired: Bits
    """shape (units of all sites,)"""
    positions: np.ndarray
    """at which a unit was looked at; 0 where the site was not, nan where it had other units; (sites,)"""
    known: np.ndarray
    """which sites were looked at, with these units; shape (sites,)"""

    @staticmethod
    @remembered
    def of(look: Snapshot) -> "Firing":
        table = look["silence"]
        bits = table.units.get("fired", ())
        fired = np.concatenate(bits) if bits else np.zeros(0, bool)
        known = np.ones(len(bits), bool)
        positions = table.columns.get("positions", np.zeros(len(bits)))
        return Firing(table.names, tuple(map(len, bits)), fired, positions, known)

    @cached_property
    def places(self) -> dict[str, slice]:
        """Where the units of each site are."""
        ends = list(accumulate(self.units))
        return {s: slice(end - n, end) for s, n, end in zip(self.sites, self.units, ends, strict=True)}

    @cached_property
    def least(self) -> float:
        """Fewest positions of a site."""
        return float(self.positions.min()) if len(self.positions) else 0.0

    def alike(self, other: "Firing") -> bool:
        """Whether both have the same sites and units."""
        return self.sites == other.sites and self.units == other.units

    def like(self, other: "Firing") -> "Firing":
        """The same with the sites and units of another look."""
        if self.alike(other):
            return self
        found = other.blank()
        row = {site: i for i, site in enumerate(self.sites)}
        for i, (site, place) in enumerate(other.places.items()):
            if site in row and self.units[row[site]] == other.units[i]:
                found.known[i] = True
                found.positions[i] = self.positions[row[site]]
                found.fired[place] = self.fired[self.places[site]]
            elif site in row:
                found.positions[i] = np.nan
        return found

    def blank(self, sites: Sequence[str] = (), units: Sequence[int] = ()) -> "Firing":
        """Nothing known of the same sites, with some more behind."""
        units = (*self.units, *units)
        nothing = np.zeros(len(units), bool)
        return Firing((*self.sites, *sites), units, np.zeros(sum(units), bool), np.zeros(len(units)), nothing)


def course(looks: Sequence[Snapshot], sites: Sequence[str], *, until: float = math.inf) -> list[Firing]:
    """Of each look, with sites and units as they come first in this order. Where they never change and these
    sites are among them, no further than until each has so many positions.
    """
    first, found, seen = Firing.of(looks[0]), [], 0.0
    known = first.places.keys() >= set(sites)
    for look in looks:
        firing = Firing.of(look)
        if not firing.alike(first):
            return _aligned([Firing.of(look) for look in looks])
        found.append(firing)
        seen += firing.least
        if known and seen >= until:
            break
    return found


def _aligned(firings: Sequence[Firing]) -> list[Firing]:
    """With the sites of all of them, and the units that each site has first."""
    first = firings[0]
    for firing in firings:
        if new := [site for site in firing.sites if site not in first.places]:
            first = first.blank(new, [firing.units[firing.sites.index(site)] for site in new])
    return [firing.like(first) for firing in firings]


def silent(firings: Sequence[Firing], *, positions: float, least: float) -> dict[str, Bits]:
    """Units of each site that were silent at all of the first `positions` positions, or at all that there
    are from `least` on. A site with fewer before it got other units is left out.
    """
    seen = np.cumsum([firing.positions for firing in firings], axis=0)
    enough = seen >= positions
    last = np.where(enough.any(0), enough.argmax(0), len(firings) - 1)
    judged = seen[last, np.arange(len(last))] >= least
    fired = np.array([firing.fired for firing in firings])
    counts = np.arange(len(fired))[:, None] <= np.repeat(last, firings[0].units)
    never = ~np.any(fired & counts, axis=0)
    sites = zip(firings[0].places.items(), judged, strict=True)
    return {site: never[place] for (site, place), known in sites if known and place.stop > place.start}
