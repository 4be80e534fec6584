"""Without this file nobody could say how many runs a sweep has, and so how many are missing."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

# Private, and yet the only place that says which jobs a command line makes: a copy of it would drift from it.
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from sweeps.identity import telling
from sweeps.row import Row, write_whole

FILE = "plan.json"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a command line asked for: the number of its runs, and the values of what it varies."""

    total: int
    varied: Mapping[str, Sequence[str]]
    jobs: Sequence[Sequence[str]] = ()
    """the overrides of each, in the order in which the sweeper makes them"""
    ids: Sequence[str] = ()
    """of the runs, in that order; none in a folder that held nothing else, where all rows are the plan's"""

    @classmethod
    def of(cls, config: DictConfig) -> "Plan":
        """The plan of a multirun as the sweeper makes it: `hydra.sweeper.params`, then the command line."""
        defaults = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
        overrides = OverridesParser.create().parse_overrides([*defaults, *config.hydra.overrides.task])
        [jobs] = BasicSweeper.split_arguments(overrides, max_batch_size=None)
        values: dict[str, dict[str, None]] = {}
        for key, _, value in (override.partition("=") for job in jobs for override in job):
            values.setdefault(key, {})[value] = None
        varied = {key: list(seen) for key, seen in values.items() if len(seen) > 1 and telling(key)}
        return cls(total=math.prod(map(len, varied.values())), varied=varied, jobs=jobs)

    def named(self, config: DictConfig) -> "Plan":
        """With the ids of its runs, which takes some 70 ms for each job."""
        loader = GlobalHydra.instance().config_loader()
        ids = (loader.load_sweep_config(config, list(job)).hydra.sweep.subdir for job in self.jobs)
        return replace(self, ids=tuple(dict.fromkeys(ids)))

    def save(self, sweep: Path) -> None:
        write_whole(sweep / FILE, json.dumps(asdict(self), indent=1) + "\n")


def ordered(rows: Iterable[Row], *, by: Plan | None) -> tuple[list[Row], list[Row]]:
    """The rows of the plan in its order, and those that other plans have left in the folder."""
    found = sorted(rows, key=lambda row: row.number)
    if by is None or not by.ids:
        return found, []
    place = {name: index for index, name in enumerate(by.ids)}
    mine = sorted((row for row in found if row.id in place), key=lambda row: place[row.id])
    return mine, [row for row in found if row.id not in place]


def load(sweep: Path) -> Plan | None:
    """The plan that was made last in that folder, or None."""
    try:
        return Plan(**json.loads((sweep / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
