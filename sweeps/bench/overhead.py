"""What torchvitals costs over a run of 1,000 steps, on five nets, at its defaults and always-on alone."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sweeps.bench import ours
from sweeps.bench.figures import excess, median_interval, middle, overhead
from sweeps.bench.nets import NETS, Net
from sweeps.bench.ours import ALWAYS_ON, NAME, NEVER, STEPS
from sweeps.bench.timing import BARE, FIRST, Lane, race
from torchvitals import Schedule

QUICK_ROUNDS = 24
"""Enough for steps of every kind: beyond the first 16, every other one is not due."""
SCHEDULES: Mapping[str, Schedule] = {NAME: Schedule(), ALWAYS_ON: NEVER}
Say = Callable[[str], None]


def measured(*, quick: bool, device: str, say: Say) -> dict[str, Any]:
    """Per net: the bare step, and of either setting its steps by kind and its overhead."""
    chosen = [replace(net, rounds=min(net.rounds, QUICK_ROUNDS)) for net in NETS[:1]] if quick else NETS
    return {"steps": STEPS, "nets": [_net(net, device, say) for net in chosen]}


def _net(net: Net, device: str, say: Say) -> dict[str, Any]:
    watchers = [ours.watcher(name, schedule) for name, schedule in SCHEDULES.items()]
    lanes = race(
        lambda: net.training(device),
        lambda step: net.batch_of(step, device),
        watchers,
        net.rounds,
        after=lambda done: say(f"{net.name}, step {done} of {net.rounds}"),
    )
    return {
        **about(net, lanes[BARE], device),
        "settings": [_setting(lanes[name], lanes[BARE], SCHEDULES[name]) for name in SCHEDULES],
    }


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


def _setting(lane: Lane, bare: Lane, schedule: Schedule) -> dict[str, Any]:
    told = costs_of(lane, bare)
    costs = excess(lane.seconds, bare.seconds, lane.kinds())
    counts = ours.counts(schedule, first=FIRST)
    whole = len(lane.seconds) == STEPS
    spent = lane.opening + lane.closing + sum(lane.seconds)
    return {
        **told,
        "counts": counts,
        "estimate": overhead(costs, counts, told["once"], bare.seconds[FIRST:], STEPS),
        "really": spent / sum(bare.seconds) - 1 if whole else None,
        "same_weights": lane.training.same_weights(bare.training),
    }


def costs_of(lane: Lane, bare: Lane) -> dict[str, Any]:
    """What a lane costs: once, and at each kind of step; in seconds."""
    costs = excess(lane.seconds, bare.seconds, lane.kinds())
    kinds = {kind: values for kind, values in costs.items() if kind != "first"}
    return {
        "name": lane.name,
        "error": lane.error,
        "once": lane.opening + lane.closing + float(np.sum(costs.get("first", 0.0))),
        "kinds": {
            kind: {**(middle(values.tolist()) or {}), "interval": median_interval(values.tolist())}
            for kind, values in kinds.items()
            if len(values)
        },
    }
