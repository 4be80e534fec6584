"""Proof that the faults harm: each against its own clean twin, with the same seeds."""

import itertools
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import rankdata

from sweeps.situations.catalogue import situations
from sweeps.situations.situation import Level, Situation
from sweeps.situations.training import run

RESULT = Path(__file__).with_name("validation.json")
ALPHA = 0.05
"""Largest p-value of a harm that counts as real."""


@dataclass(frozen=True)
class Proof:
    """Scores of a fault at one level and of its twin, lower being better."""

    name: str
    level: str
    certain: str
    clean: tuple[float, ...]
    faulty: tuple[float, ...]
    p: float
    """one-sided p-value of the paired sign-flip test that the fault does no harm"""

    @property
    def holds(self) -> bool:
        return bool(self.certain) or self.p < ALPHA


def sign_flip(differences: Sequence[float]) -> float:
    """One-sided p-value that the differences are symmetric about 0, over all 2^n signs (n up to 16).

    The share of sign patterns whose sum is at least the one observed, with ranks in place of the differences:
    a training that diverged differs by 10^30 or infinitely, and would leave the others no say.
    """
    d = np.array(differences, float)
    ranks = np.sign(d) * rankdata(np.abs(d))
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(d))))
    return float((signs @ np.abs(ranks) >= ranks.sum() - 1e-9).mean())


def prove(situation: Situation, level: Level, clean: Sequence[float], seeds: Iterable[int]) -> Proof:
    """Train the fault with these seeds and compare it with the scores of its twins."""
    faulty = tuple(score(situation, level, seed) for seed in seeds)
    worse = [_difference(f, c) for f, c in zip(faulty, clean, strict=True)]
    return Proof(situation.name, str(level), situation.certain, tuple(clean), faulty, sign_flip(worse))


def score(situation: Situation, level: Level | None, seed: int) -> float:
    return run(situation.build(level, seed)).score


def _difference(faulty: float, clean: float) -> float:
    return 0.0 if faulty == clean else faulty - clean


def validate(names: Sequence[str], *, seeds: int = 8, jobs: int = 2) -> int:
    """Prove all faults of these names, keep each proof as it comes, print a table; 1 if one does no harm."""
    faults = [s for name in names if not (s := situations()[name]).healthy]
    found: Any = Parallel(n_jobs=jobs, return_as="generator_unordered")(
        delayed(_proofs)(s.name, seeds) for s in faults
    )
    proofs: list[Proof] = []
    for group in track(found, "Proving", len(faults), console=Console(stderr=True)):
        _keep(group)
        proofs += group
    Console().print(_table(sorted(proofs, key=lambda p: p.name)))
    return int(not all(proof.holds for proof in proofs))


def unproven() -> list[str]:
    """Names of the faults of which a level has no proof on record."""
    kept = proven()
    return [
        s.name for s in situations().values() if any(_key(s.name, level) not in kept for level in s.levels)
    ]


def proven() -> dict[str, Any]:
    """The proofs on record, by name and level of the fault."""
    return json.loads(RESULT.read_text()) if RESULT.exists() else {}


def _proofs(name: str, seeds: int) -> list[Proof]:
    torch.set_num_threads(1)
    situation = situations()[name]
    clean = [score(situation, None, seed) for seed in range(seeds)]
    return [prove(situation, level, clean, range(seeds)) for level in situation.levels]


def _keep(group: Sequence[Proof]) -> None:
    """Put the proofs of one fault in the place of those that were there."""
    kept = {key: row for key, row in proven().items() if row["name"] != group[0].name}
    kept |= {_key(p.name, p.level): _row(p) for p in group}
    fresh = RESULT.with_suffix(".tmp")
    fresh.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")
    fresh.replace(RESULT)


def _key(name: str, level: str) -> str:
    return f"{name}@{level}"


def _row(proof: Proof) -> dict[str, Any]:
    row = asdict(proof) | {"holds": proof.holds}
    return {k: [_plain(x) for x in v] if isinstance(v, tuple) else v for k, v in row.items()}


def _plain(x: float) -> float | str:
    return float(f"{x:.6g}") if math.isfinite(x) else str(x)


def _table(proofs: Sequence[Proof]) -> Table:
    table = Table(title=f"{sum(p.holds for p in proofs)} of {len(proofs)} faults do proven harm")
    for column in ("fault", "level", "clean", "faulty", "p", ""):
        table.add_column(column, justify="right" if column in ("clean", "faulty", "p") else "left")
    for p in proofs:
        verdict = "certain" if p.certain else "" if p.holds else "[red]not proven[/]"
        table.add_row(p.name, p.level, _median(p.clean), _median(p.faulty), f"{p.p:.4f}", verdict)
    return table


def _median(scores: Sequence[float]) -> str:
    return f"{float(np.median(scores)):.3g}"
