"""Ours and the peers on the same nets, turn by turn: what a look costs, and what a run costs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sweeps.bench import ours
from sweeps.bench.figures import excess, overhead, pooled
from sweeps.bench.nets import NETS, Net
from sweeps.bench.ours import ALWAYS_ON, NAME, NEVER, STEPS
from sweeps.bench.overhead import QUICK_ROUNDS, Say, about, told_of
from sweeps.bench.timing import BARE, FIRST, Lane, Watcher, race
from sweeps.bench.tools import TOOLS, Tool
from torchvitals import Schedule

LOOKS = ours.counts(Schedule())
"""What "as many looks as ours" means."""
OURS = Tool(
    name=NAME,
    module="torchvitals",
    measures="gradients, parameters, updates, activations and their gradients of every site, silent units,"
    " wiring, loss and data, and a verdict; gradient norms and NaN in every step",
    counts=ours.counts(Schedule()),
    against="look",
    watchers=(ours.watcher(), ours.watcher(ALWAYS_ON, NEVER)),
)


def measured(*, quick: bool, device: str, say: Say) -> dict[str, Any]:
    """Per net: what a look and a quiet step of every tool cost, and a run at its default and at ours."""
    nets = [net for net in NETS if net.contest]
    chosen = [replace(net, contest=QUICK_ROUNDS) for net in nets[:1]] if quick else nets
    tools = [OURS, *(tool for tool in TOOLS if tool.installed)]
    return {
        "missing": [tool.name for tool in TOOLS if not tool.installed],
        "tools": [{"name": t.name, "measures": t.measures, "against": t.against} for t in tools],
        "nets": [_net(net, tools, device, say) for net in chosen],
    }


def _net(net: Net, tools: Sequence[Tool], device: str, say: Say) -> dict[str, Any]:
    watchers: list[Watcher] = [watcher for tool in tools for watcher in tool.watchers]
    lanes = race(
        lambda: net.training(device),
        lambda step: net.batch_of(step, device),
        watchers,
        net.contest,
        after=lambda done: say(f"{net.name}, step {done} of {net.contest}"),
    )
    told = [_tool(tool, lanes) for tool in tools]
    mine = told[0]["kinds"]
    return {**about(net, lanes[BARE], device), "tools": [compared(t, mine) for t in told]}


def _tool(tool: Tool, lanes: Mapping[str, Lane]) -> dict[str, Any]:
    bare = lanes[BARE].seconds
    mine = [lanes[watcher.name] for watcher in tool.watchers]
    costs = pooled(excess(lane.seconds, bare, lane.kinds()) for lane in mine)
    # Whoever has no quiet steps can be left out of them.
    resting = costs if "quiet" in costs else {**costs, "quiet": np.zeros(1)}
    return {
        "name": tool.name,
        "against": tool.against,
        "error": next((lane.error for lane in mine if lane.error), ""),
        "same_weights": all(
            lane.training.same_weights(lanes[BARE].training) for lane in mine if not lane.error
        ),
        "kinds": told_of(costs),
        "default": overhead(costs, tool.counts, 0.0, bare[FIRST:], STEPS),
        "equal": overhead(resting, LOOKS, 0.0, bare[FIRST:], STEPS),
    }


def compared(tool: dict[str, Any], mine: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """With what a step costs us that sees about as much, and whether that is less."""
    if tool["name"] == NAME:
        return tool
    theirs, ours_ = tool["kinds"].get("look"), mine.get(tool["against"])
    if tool["error"] or not theirs or not ours_:
        return {**tool, "ours": ours_ and ours_["median"], "cheaper": None}
    return {**tool, "ours": ours_["median"], "cheaper": ours_["median"] <= theirs["median"]}
