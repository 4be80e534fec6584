"""What the project set itself, and whether it is met: by code, from the figures alone."""

from collections.abc import Iterator, Mapping
from typing import Any

from sweeps.bench.ours import ALWAYS_ON, NAME

BIG, SMALL, ALWAYS = 0.02, 0.05, 0.01
"""Overheads over a run of 1,000 steps: at defaults on large and on small nets, and of the always-on tier."""
PYTHON_GROWTH, RESIDENT_GROWTH = 1024, 16 * 1024
"""Bytes per 1,000 steps below which memory counts as flat, even where the growth is certain."""

Sections = Mapping[str, Any]
Target = dict[str, Any]


def targets(sections: Sections) -> list[Target]:
    """Each with what was wanted, what was got, and whether it is met; None where nothing is known."""
    return [*_overheads(sections), *_peers(sections), *_waits(sections), *_memory(sections)]


def _overheads(sections: Sections) -> Iterator[Target]:
    for net in sections.get("overhead", {}).get("nets", ()):
        for setting in net["settings"]:
            allowed = ALWAYS if setting["name"] == ALWAYS_ON else BIG if net["big"] else SMALL
            how = "always-on tier" if setting["name"] == ALWAYS_ON else "defaults"
            got = setting["estimate"] and setting["estimate"]["share"]
            yield _target(
                f"{net['net']}, {how}: overhead over 1,000 steps",
                f"<= {100 * allowed:.0f} %",
                None if got is None else f"{100 * got:.1f} %",
                None if got is None else got <= allowed,
            )


def _peers(sections: Sections) -> Iterator[Target]:
    for net in sections.get("peers", {}).get("nets", ()):
        for tool in net["tools"]:
            if tool["name"] == NAME or tool["error"]:
                continue  # who broke down measures nothing
            theirs = tool["kinds"].get("look")
            known = tool["cheaper"] is not None and theirs
            part = "a look" if tool["against"] == "look" else "a step that is not due"
            yield _target(
                f"{net['net']}: {part} is cheaper than one of {tool['name']}",
                f"<= {1e3 * theirs['median']:.2f} ms" if known else "less",
                f"{1e3 * tool['ours']:.2f} ms" if known else None,
                tool["cheaper"],
            )


def _waits(sections: Sections) -> Iterator[Target]:
    for net in sections.get("bytes", {}).get("nets", ()):
        waits = net["kinds"]["quiet"]["waits"]
        yield _target(f"{net['net']}: reads that wait, not due", "0", f"{waits:.0f}", waits == 0)


def _memory(sections: Sections) -> Iterator[Target]:
    runs = sections.get("memory", {}).get("runs", {})
    allowed = {"python": PYTHON_GROWTH, "resident": RESIDENT_GROWTH}
    for name, most in allowed.items():
        if name in runs:
            mine, bare = runs[name], runs[f"{name}, bare"]
            yield _target(
                f"{name} memory is flat: growth per 1,000 steps beyond that of the bare run",
                f"<= {most / 1024:.0f} KiB",
                f"{(mine['growth'] - bare['growth']) / 1024:.1f} KiB",
                flat(mine, bare, most),
            )


def flat(mine: Mapping[str, Any], bare: Mapping[str, Any], most: float) -> bool:
    """Whether growth is small, or not certain to be more than that of the bare run."""
    return mine["growth"] - bare["growth"] <= most or mine["interval"][0] <= bare["interval"][1]


def _target(what: str, wanted: str, got: str | None, met: bool | None) -> Target:
    return {"what": what, "wanted": wanted, "got": got, "met": met}
