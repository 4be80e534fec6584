"""What torchvitals costs over a run of 1,000 steps, on five nets, at its defaults and always-on alone."""

from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np

from sweeps.bench import ours
from sweeps.bench.children import alone
from sweeps.bench.figures import excess, median_interval, middle, overhead, pooled
from sweeps.bench.nets import NETS, Net
from sweeps.bench.ours import SCHEDULES, STEPS
from sweeps.bench.timing import BARE, FIRST, Lane, race
from torchvitals import Schedule

QUICK_ROUNDS = 24
"""Enough for steps of every kind: beyond the first 16, every other one is not due."""
REPEATS = 3
"""Processes from which the one-time cost comes."""
Say = Callable[[str], None]


def measured(*, quick: bool, device: str, say: Say) -> dict[str, Any]:
    """Per net: the bare step, and of either setting its steps by kind and its overhead."""
    chosen = [replace(net, rounds=min(net.rounds, QUICK_ROUNDS)) for net in NETS[:1]] if quick else NETS
    return {"steps": STEPS, "nets": [_net(net, device, 1 if quick else REPEATS, say) for net in chosen]}


def _net(net: Net, device: str, repeats: int, say: Say) -> dict[str, Any]:
    once = {name: _once(net, name, device, repeats, say) for name in SCHEDULES}
    lanes = race(
        lambda: net.training(device),
        lambda step: net.batch_of(step, device),
        [ours.watcher(name, schedule) for name, schedule in SCHEDULES.items()],
        net.rounds,
        after=lambda done: say(f"{net.name}, step {done} of {net.rounds}"),
    )
    bare = lanes[BARE]
    # A step that is not due is the same at either setting, so that of each tells about both.
    quiet = pooled({"quiet": costs_of(lanes[name], bare).get("quiet", np.empty(0))} for name in SCHEDULES)
    settings = [_setting(lanes[name], bare, SCHEDULES[name], once[name], quiet) for name in SCHEDULES]
    return {**about(net, bare, device), "settings": settings}


def about(net: Net, bare: Lane, device: str) -> dict[str, Any]:
    """What a reader has to know of a net."""
    return {
        "net": net.name,
        "words": net.words,
        "big": net.big,
        "device": device,
        "parameters": bare.training.parameters,
        "tensors": bare.training.tensors,
        "rounds": len(bare.seconds),
        "bare": middle(bare.seconds[FIRST:]),
    }


def _once(net: Net, setting: str, device: str, repeats: int, say: Say) -> dict[str, Any]:
    """One-time cost in seconds: the median of fresh processes, and what each of them had."""
    say(f"{net.name}, {setting}: the first steps")
    told = [alone("sweeps.bench.once", net.name, setting, device) for _ in range(repeats)]
    sums = [t["opening"] + t["first"] + t["closing"] for t in told]
    return {"median": median(sums), "each": sums}


def _setting(
    lane: Lane, bare: Lane, schedule: Schedule, once: dict[str, Any], quiet: dict[str, np.ndarray]
) -> dict[str, Any]:
    costs = {**costs_of(lane, bare), **quiet}
    counts = ours.counts(schedule, first=FIRST)
    rest = sum(lane.seconds[FIRST:]) - sum(bare.seconds[FIRST:])
    whole = len(lane.seconds) == STEPS
    return {
        "name": lane.name,
        "error": lane.error,
        "once": once,
        "kinds": told_of(costs),
        "counts": counts,
        "estimate": overhead(costs, counts, once["median"], bare.seconds[FIRST:], STEPS),
        "really": (once["median"] + rest) / sum(bare.seconds) if whole else None,
        "same_weights": lane.training.same_weights(bare.training),
    }


def costs_of(lane: Lane, bare: Lane) -> dict[str, np.ndarray]:
    """What each kind of step costs in a lane, step by step."""
    return excess(lane.seconds, bare.seconds, lane.kinds())


def told_of(costs: dict[str, Any]) -> dict[str, Any]:
    """What each kind of step costs in seconds, but for the first ones."""
    return {
        kind: {**(middle(values) or {}), "interval": median_interval(values)}
        for kind, values in costs.items()
        if kind != "first" and len(values)
    }
