"""Bytes that pass through memory, and reads that would wait for a device, as torch's dispatcher sees them."""

import time
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

import torch

from sweeps.bench import ours
from sweeps.bench.counter import Counter, Traffic, size
from sweeps.bench.nets import NETS, Net
from sweeps.bench.ours import NAME, Ours
from sweeps.bench.overhead import Say
from sweeps.bench.timing import Watcher
from sweeps.bench.tools import TOOLS
from sweeps.bench.training import Eye
from torchvitals import Schedule, Snapshot

PLAIN = 2**25
"""Numbers in the plain read that bandwidth is compared with: 128 MiB."""
COUNTED = 4
"""Steps whose bytes are counted, after the first ones; the median is told."""
DENSE = Schedule(dense=10**6)


def measured(*, quick: bool, device: str, say: Say) -> dict[str, Any]:
    """Per net: bytes and waits of our steps, against the least possible and against a plain read."""
    plain = plain_read(device)
    nets = NETS[:1] if quick else [net for net in NETS if net.contest]
    return {"plain": plain, "nets": [_net(net, device, say) for net in nets]}


def plain_read(device: str) -> float:
    """Bytes per second at which a sum goes through a large tensor."""
    x = torch.ones(PLAIN, device=device)
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        x.sum().item()
        seconds.append(time.perf_counter() - begun)
    return size(x) / median(seconds)


def _net(net: Net, device: str, say: Say) -> dict[str, Any]:
    say(f"{net.name}: bytes")
    bare = _counted(net, None, device)[0]
    quiet = _counted(net, ours.watcher(NAME, ours.NEVER), device)[0]
    look, eye = _counted(net, ours.watcher(NAME, DENSE), device)
    assert isinstance(eye, Ours)
    assert eye.looks.latest is not None
    least = least_possible(eye.looks.latest)
    seconds = _seconds(net, device)
    found = {"quiet": quiet.less(bare), "look": look.less(bare)}
    say(f"{net.name}: peers")
    return {
        "net": net.name,
        "kinds": found,
        "least": least,
        "ratio": found["look"]["read"] / sum(least.values()),
        "seconds": seconds,
        "bandwidth": found["look"]["read"] / seconds,
        "peers": list(_peers(net, bare, device)),
    }


def least_possible(look: Snapshot) -> Mapping[str, float]:
    """Bytes of all that was looked at, each read once, and parameters before and after their update."""
    passes = {"gradient": 1, "parameter": 1, "update": 2, "activation": 1, "activation_gradient": 1}
    width = torch.float32.itemsize
    return {k: n * width * float(look[k]["count"].sum()) for k, n in passes.items() if k in look}


def _counted(net: Net, watcher: Watcher | None, device: str) -> tuple[Traffic, Eye]:
    """Steps after the first two, each under a counter of its own."""
    training, found = net.training(device), Traffic()
    opened = watcher.open(training) if watcher else None
    eye = opened.__enter__() if opened else Eye()
    try:
        for step in range(2 + COUNTED):
            batch = net.batch_of(step, device)
            with Counter() as counter:
                training.step(batch, eye)
            if step >= 2:
                for name, values in vars(found).items():
                    values.append(getattr(counter, name))
    finally:
        if opened:
            opened.__exit__(None, None, None)
    return found, eye


def _seconds(net: Net, device: str) -> float:
    """Of our own code in a look, by its own clock: median of some, without a counter."""
    training, seconds = net.training(device), []
    with ours.watcher(NAME, DENSE).open(training) as eye:
        assert isinstance(eye, Ours)
        before = 0.0
        for step in range(4 + COUNTED):
            training.step(net.batch_of(step, device), eye)
            now = eye.vitals.summary.cost.monitor_seconds
            seconds.append(now - before)
            before = now
    return median(seconds[4:])


def _peers(net: Net, bare: Traffic, device: str) -> Iterator[dict[str, Any]]:
    for tool in TOOLS:
        for watcher in tool.watchers if tool.installed else ():
            try:
                told = _counted(net, watcher, device)[0].less(bare)
            except Exception as error:  # a peer that breaks the training is a result
                yield {"name": watcher.name, "error": type(error).__name__}
            else:
                yield {"name": watcher.name, "error": "", "kind": watcher.kind(2), **told}
