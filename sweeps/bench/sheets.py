"""One table of the page per section."""

from collections.abc import Callable, Mapping
from typing import Any

from sweeps.bench import ours
from sweeps.bench.cells import NOTHING, exponent, kibibytes, megabytes, percent, share, spread, table
from torchvitals import Schedule


def looks() -> int:
    return ours.counts(Schedule())["look"]


def overhead(section: dict[str, Any]) -> str:
    head = ["net", "setting", "due step", "not due", "once", "overhead", "really", "armed steps", "weights"]
    rows = []
    for net in section["nets"]:
        for s in net["settings"]:
            kinds = s["kinds"]
            rows.append(
                [
                    net["net"],
                    s["name"] if not s["error"] else f"{s['name']}: {s['error']}",
                    spread(kinds.get("look")),
                    spread(kinds.get("quiet")),
                    f"{s['once']['median']:.2f} s",
                    share(s["estimate"]),
                    NOTHING if s["really"] is None else percent(s["really"]),
                    str(kinds.get("armed", {}).get("n", 0)),
                    "equal" if s["same_weights"] else "NOT EQUAL",
                ]
            )
    nets = [
        f"- {n['net']}: {n['words']}; {n['tensors']} parameter tensors; {n['rounds']} steps were run"
        for n in section["nets"]
    ]
    return table(head, rows) + "\n\n" + "\n".join(nets)


def peers(section: dict[str, Any]) -> str:
    head = ["net", "tool", "look", "quiet", "ours", "at its default", "64 looks", ""]
    verdicts = {True: "ours is cheaper", False: "ours is dearer", None: ""}
    rows = []
    for net in section["nets"]:
        for t in net["tools"]:
            mine = t.get("ours")
            rows.append(
                [
                    net["net"],
                    t["name"],
                    spread(t["kinds"].get("look")),
                    spread(t["kinds"].get("quiet")),
                    NOTHING if mine is None else f"{1e3 * mine:.2f} ms",
                    share(t["default"]),
                    share(t["equal"]),
                    f"broke: {t['error']}" if t["error"] else verdicts[t.get("cheaper")],
                ]
            )
    absent = section["missing"]
    note = f"\n\nNot installed, so not measured: {', '.join(absent)}." if absent else ""
    return table(head, rows) + note


def measures(section: dict[str, Any]) -> str:
    return "\n".join(f"- {tool['name']}: {tool['measures']}" for tool in section["tools"])


def memory(section: dict[str, Any]) -> str:
    rows = [
        [
            name,
            megabytes(run["bytes"]),
            kibibytes(run),
        ]
        for name, run in section["runs"].items()
    ]
    held = ", ".join(f"{name} {megabytes(more)}" for name, more in section["ours"].items())
    what = f"A tiny training of {section['steps']:,} steps; growth after step {section['warm']:,}."
    return f"{what}\n\n{table(['run', 'at the end', 'growth per 1,000 steps'], rows)}\n\nBeyond bare: {held}."


def growth(section: dict[str, Any]) -> str:
    kinds = {"quiet": "not due", "look": "due"}
    rows = [
        [str(p["tensors"]), spread(p["bare"]), *(spread(p["kinds"].get(kind)) for kind in kinds)]
        for p in section["points"]
    ]
    lines = []
    for kind, words in kinds.items():
        fit = section["fits"][kind]
        if fit is None:
            lines.append(f"- {words}: not measured")
            continue
        low, high = fit["microseconds"]["interval"]
        power = exponent(fit["exponent"])
        slope = f"{fit['microseconds']['slope']:.1f} µs [{low:.1f}, {high:.1f}]"
        lines.append(f"- {words}: {slope} per tensor, exponent {power}")
    return table(["tensors", "bare step", *kinds.values()], rows) + "\n\n" + "\n".join(lines)


def judging(section: dict[str, Any]) -> str:
    parts = []
    for model in section["models"]:
        kinds = model["kinds"]
        parts.append(
            f"{model['name']}, {model['tensors']} tensors: {spread(kinds['look'])} per look,"
            f" {spread(kinds['quiet'])} per step that is not due."
        )
        rows = [[d["name"], spread(d["look"])] for d in model["dearest"]]
        parts.append(table(["dearest diagnostics", "per look"], rows))
    return "\n\n".join(parts)


def traffic(section: dict[str, Any]) -> str:
    rows, peers_ = [], []
    for net in section["nets"]:
        look, quiet = net["kinds"]["look"], net["kinds"]["quiet"]
        rows.append(
            [
                net["net"],
                megabytes(look["read"]),
                megabytes(sum(net["least"].values())),
                f"{net['ratio']:.1f}",
                f"{net['bandwidth'] / 1e9:.1f} GB/s",
                f"{look['waits']:.0f}",
                f"{look['calls']:.0f}",
                megabytes(quiet["read"]),
                f"{quiet['waits']:.0f}",
                f"{quiet['calls']:.0f}",
            ]
        )
        for p in net["peers"]:
            cells = (
                [NOTHING] * 3
                if p["error"]
                else [megabytes(p["read"]), f"{p['waits']:.0f}", f"{p['calls']:.0f}"]
            )
            peers_.append([net["net"], p["name"], *cells, p["error"] and f"broke: {p['error']}"])
    head = ["net", "read, due", "least possible", "ratio", "bandwidth", "waits", "operations"]
    head += ["read, not due", "waits", "operations"]
    plain = f"A plain read, the sum of a large tensor, reaches {section['plain'] / 1e9:.1f} GB/s."
    others = table(["net", "tool", "read", "waits", "operations", ""], peers_)
    return f"{table(head, rows)}\n\n{plain}\n\nThe same counts of other tools, per step:\n\n{others}"


def imports(section: dict[str, Any]) -> str:
    more, n = 1e3 * section["beyond"], section["torch"]["n"]
    return (
        f"`import torch` takes {spread(section['torch'])}, `import torch, torchvitals`"
        f" {spread(section['both'])}: {more:.0f} ms more, between medians of {n} interpreters each that took"
        f" turns. Within one interpreter torchvitals takes {spread(section['after'])} after torch."
    )


SHEETS: Mapping[str, Callable[[dict[str, Any]], str]] = {
    "overhead": overhead,
    "peers": peers,
    "memory": memory,
    "growth": growth,
    "judging": judging,
    "bytes": traffic,
    "imports": imports,
}
"""By the name of the section."""
