"""docs/performance.md, whole, from the figures alone."""

from pathlib import Path
from typing import Any

from sweeps.bench import sheets
from sweeps.bench.cells import count, percent, share, spread, table
from sweeps.bench.ours import ALWAYS_ON, NAME
from sweeps.bench.targets import Target, targets
from sweeps.bench.timing import FIRST

TEMPLATE = Path(__file__).with_name("page.md")
UNKNOWN = "Not measured."
GPU = (
    "No figures: the machine had no GPU, and those above say nothing about one. On a machine with a GPU"
    " `python -m sweeps.bench --device cuda` measures the same there and writes `runs/bench/cuda/`."
)


def page(card: dict[str, Any]) -> str:
    sections = card["sections"]
    judged = targets(sections)

    def told(name: str) -> str:
        return sheets.SHEETS[name](sections[name]) if name in sections else UNKNOWN

    return TEMPLATE.read_text().format(
        quick=" (quick: a few steps of one net, which say nothing)" if card["quick"] else "",
        date=card["machine"]["date"],
        answer=answer(sections, judged),
        table=summary(sections.get("overhead")),
        machine=machine(card),
        targets=target_table(judged),
        looks=sheets.looks(),
        first=FIRST,
        overhead=told("overhead"),
        peers=told("peers"),
        measures=sheets.measures(sections["peers"]) if "peers" in sections else UNKNOWN,
        memory=told("memory"),
        growth=told("growth"),
        judging=told("judging"),
        bytes=told("bytes"),
        imports=told("imports"),
        gpu=GPU if card["machine"]["device"] == "cpu" else f"All of this on a {card['machine']['device']}.",
    )


def answer(sections: dict[str, Any], judged: list[Target]) -> str:
    """Three sentences: what a run costs, what a step costs that is not due, and what was missed."""
    nets = sections.get("overhead", {}).get("nets", ())
    costs = {net["net"]: share for net in nets if (share := _share(net, NAME)) is not None}
    always = [share for net in nets if (share := _share(net, ALWAYS_ON)) is not None]
    if not costs or not always:
        first = second = "Overhead was not measured."
    else:
        parts = ", ".join(f"{percent(share)} on the {name}" for name, share in costs.items())
        first = f"At its defaults torchvitals costs {parts}, over a run of 1,000 steps."
        low, high = percent(min(always)), percent(max(always))
        between = low if low == high else f"between {low} and {high}"
        second = f"Its always-on tier alone, which looks at gradients in every step, costs {between}."
    missed = sum(target["met"] is False for target in judged)
    unknown = sum(target["met"] is None for target in judged)
    third = f"Of {len(judged)} targets {missed or 'none'} {'were' if missed > 1 else 'was'} missed"
    return " ".join([first, second, third + (f", {unknown} could not be judged." if unknown else ".")])


def _share(net: dict[str, Any], name: str) -> float | None:
    setting = next(s for s in net["settings"] if s["name"] == name)
    return setting["estimate"] and setting["estimate"]["share"]


def summary(overhead: dict[str, Any] | None) -> str:
    if overhead is None:
        return UNKNOWN
    head = ["net", "parameters", "bare step", "defaults", "always-on"]
    rows = []
    for net in overhead["nets"]:
        shares = [share(setting["estimate"]) for setting in net["settings"]]
        rows.append([net["net"], count(net["parameters"]), spread(net["bare"]), *shares])
    return table(head, rows)


def machine(card: dict[str, Any]) -> str:
    m = card["machine"]
    where = "" if m["device"] == "cpu" else f", {m['device']}"
    peers = ", ".join(f"{name} {version}" for name, version in m["peers"].items())
    return (
        f"{m['cores']} cores of {m['cpu']}{where}, torch {m['torch']} on {m['threads']} threads, Python "
        f"{m['python']}; torchvitals {m['torchvitals']}; peers: {peers or 'none'}. "
        + " ".join(_took(name, section, m["date"]) for name, section in card["sections"].items())
    )


def _took(name: str, section: dict[str, Any], today: str) -> str:
    other = "" if section["date"] == today else f", on {section['date']}"
    return f"{name.capitalize()}: {section['seconds']:.0f} s{other}."


def target_table(judged: list[Target]) -> str:
    """Missed ones first."""
    words = {True: "met", False: "missed", None: "not measured"}
    rows = sorted(judged, key=lambda target: (target["met"] is not False, target["met"] is not None))
    told = [[t["what"], t["wanted"], t["got"] or "-", words[t["met"]]] for t in rows]
    missed = sum(target["met"] is False for target in judged)
    head = f"missed: {missed} of {len(judged)}." if judged else UNKNOWN
    return head + "\n\n" + table(["target", "wanted", "got", ""], told) if judged else head
