"""Whether the memory that is held grows with the run."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sweeps.bench.children import alone
from sweeps.bench.figures import line
from sweeps.bench.overhead import Say

STEPS = 20_000
WARM = 0.25
"""Part of the run after which memory has to be flat: windows are full long before."""
SAMPLES = 100
AT_A_TIME = 2
RUNS: Mapping[str, tuple[bool, bool]] = {
    "python": (True, True),
    "python, bare": (False, True),
    "resident": (True, False),
    "resident, bare": (False, False),
}
"""By name: whether it is watched, and whether Python's own memory is traced."""


def measured(*, quick: bool, say: Say, **_anywhere: Any) -> dict[str, Any]:
    """Per run: bytes at the end, and their growth per 1,000 steps after the warm-up."""
    steps = 1000 if quick else STEPS
    say(f"{steps} steps, with and without us, {len(RUNS)} runs")

    def run(name: str) -> dict[str, Any]:
        told = alone("sweeps.bench.held", *map(int, RUNS[name]), steps, steps // SAMPLES)
        return {**growth(told["steps"], told["bytes"]), "bytes": told["bytes"][-1]}

    # Memory does not depend on who else is running, as time does.
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        found = dict(zip(RUNS, pool.map(run, RUNS), strict=True))
    extra = {k: found[k]["bytes"] - found[f"{k}, bare"]["bytes"] for k in ("python", "resident")}
    return {"steps": steps, "warm": int(steps * WARM), "runs": found, "ours": extra}


def growth(steps: list[int], held: list[int]) -> dict[str, Any]:
    """Bytes per 1,000 steps after the warm-up, with an interval."""
    late = [(s / 1000, b) for s, b in zip(steps, held, strict=True) if s > steps[-1] * WARM]
    fit = line([s for s, _ in late], [b for _, b in late])
    return {"growth": fit["slope"], "interval": fit["interval"]}
