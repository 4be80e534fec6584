"""Tells why a module gave NaN or Inf: overflow, divergence, or an undefined operation."""

import math
from collections.abc import Sequence

from torchvitals.builtin.parts.origin import Origin, bad_names
from torchvitals.core.finding import Remedy
from torchvitals.core.snapshot import Snapshot


def forward_origin(look: Snapshot, before: Sequence[Snapshot], near_limit: float) -> Origin | None:
    """The first bad site in execution order."""
    names = bad_names(look, "activation")
    if not names:
        return None
    near = _nearness(names[0], look, before)
    # A weighted sum of finite numbers is always defined: it can only overflow.
    op = str(look["activation"]["op"][look["activation"].index(names[0])])
    overflow = near > near_limit or op.startswith(("Linear", "Conv"))
    if overflow and near <= near_limit and (bound := _bound(names[0], look)) < near_limit:
        return _between(names, look, bound)
    if overflow and (thrown := _thrown(before)) is not None:
        return _diverged(names, thrown)
    fix = "Keep the values small: normalise, scale by 1/sqrt(d), or compute in a wider dtype."
    operation = "Guard divisions, logarithms and exponentials in this module."
    return Origin(
        place="forward",
        where=names,
        message=f"{names[0]} is the first module to give NaN or Inf, from finite inputs"
        + (": its values outgrew the dtype." if overflow else "."),
        cause="overflow" if overflow else "undefined operation",
        remedies=(Remedy(fix if overflow else operation),),
        evidence={"nearness_to_limit": near, "sites_affected": len(names)},
    )


def _nearness(name: str, look: Snapshot, before: Sequence[Snapshot]) -> float:
    """Largest finite value at the site and the one before it, now and when last seen, over the dtype's
    limit.
    """
    place = look["activation"].index(name)
    names = look["activation"].names[max(place - 1, 0) : place + 1]
    tables = [s["activation"] for s in (*before[-1:], look) if "activation" in s]
    found = [t["abs_max"][i] / t["limit"][i] for t in tables for i, n in enumerate(t.names) if n in names]
    return float(max(found, default=0.0))


def _thrown(before: Sequence[Snapshot]) -> float | None:
    """Largest update over its parameter in the latest look before, if the weights were thrown away."""
    looks = [s for s in before if "update" in s and "parameter" in s]
    if not looks:
        return None
    update, parameter = looks[-1]["update"], looks[-1]["parameter"]
    norms = dict(zip(parameter.names, parameter.norm, strict=True))
    ratios = [u / w for n, u in zip(update.names, update.norm, strict=True) if (w := norms.get(n, 0.0)) > 0]
    largest = float(max(ratios, default=0.0))
    return largest if largest > 1 else None


def _diverged(names: tuple[str, ...], ratio: float) -> Origin:
    return Origin(
        place="forward",
        where=names,
        message=f"{names[0]} overflowed after updates as large as {ratio:.0e} times the weights.",
        cause="divergence: learning rate too large",
        remedies=(
            Remedy("Lower the learning rate tenfold, or warm it up.", ("scheduler=warmup_cosine",)),
            Remedy("Clip the gradient norm.", ("trainer.gradient_clip_val=1.0",)),
        ),
        evidence={"update_over_weights": ratio, "sites_affected": len(names)},
    )


def _bound(name: str, look: Snapshot) -> float:
    """Largest output that a weighted sum of what is known to go into it can have, over the dtype's limit: by
    Cauchy-Schwarz, |Wx| <= |W| |x|. Inf where the weights or what stands before them are not known.
    """
    table, weights = look["activation"], f"{name}.weight"
    place = table.index(name)
    given = table if place else look.tables.get("input")
    if given is None or not len(given) or "parameter" not in look or weights not in look["parameter"].names:
        return math.inf
    x = given.norm[place - 1] if place else given.norm.max()
    w = look["parameter"].norm[look["parameter"].index(weights)]
    return float((w * x + w) / table["limit"][place])


def _between(names: tuple[str, ...], look: Snapshot, bound: float) -> Origin:
    place = look["activation"].index(names[0])
    before = look["activation"].names[place - 1] if place else "the input"
    return Origin(
        place="forward",
        where=(before, *names) if place else names,
        message=f"{names[0]} is the first module to give NaN or Inf, but its weights and {before} are too "
        "small for an overflow: it was born in an operation or buffer between them.",
        cause="undefined operation",
        remedies=(Remedy("Guard the divisions, logarithms and exponentials between the two modules."),),
        evidence={"nearness_to_limit": bound, "sites_affected": len(names)},
    )
