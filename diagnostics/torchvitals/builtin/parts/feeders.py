"""Which module is to be named for a site: an activation has no weights, the layer in front of it has."""

from collections.abc import Iterable

from torchvitals.builtin.parts.wiring import owner
from torchvitals.core.snapshot import Snapshot, remembered


@remembered
def feeders(look: Snapshot) -> dict[str, str]:
    """For each site of the look without weights of its own, the module whose weights it depends on most
    directly: the last one with parameters that ran before it.

    Of an activation that is a module with parameters (PReLU) these are no weights. In a residual sum it is
    the branch, which runs last.
    """
    if "activation" not in look or "parameter" not in look:
        return {}
    table, owners = look["activation"], {owner(name) for name in look["parameter"].names}
    found: dict[str, str] = {}
    last = None
    for site, op in zip(table.names, table["op"], strict=True):
        module = site.partition("#")[0]
        if module in owners and not str(op).islower():  # functions are written small, modules are not
            last = module
        elif last is not None:
            found[site] = last
    return found


def named(look: Snapshot, sites: Iterable[str]) -> tuple[str, ...]:
    """The sites, each behind the module that feeds it, if it is not itself one with weights."""
    fed = feeders(look)
    return tuple(dict.fromkeys(name for site in sites for name in (fed.get(site, site), site)))
