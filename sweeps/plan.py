"""Without this file nobody could say how many runs a sweep has, and so how many are missing."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from sweeps.identity import telling
from sweeps.row import write_whole

FILE = "plan.json"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a command line asked for: the number of its runs, and the values of what it varies."""

    total: int
    varied: Mapping[str, Sequence[str]]

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
        return cls(total=math.prod(map(len, varied.values())), varied=varied)

    def save(self, sweep: Path) -> None:
        write_whole(sweep / FILE, json.dumps(asdict(self), indent=1) + "\n")


def load(sweep: Path) -> Plan | None:
    """The plan that was made last in that folder, or None."""
    try:
        return Plan(**json.loads((sweep / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
