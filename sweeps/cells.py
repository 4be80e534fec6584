"""Without this file three seeds of one combination would look like three combinations."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median_low, stdev

from sweeps.identity import CIRCUMSTANCES
from sweeps.row import Row
from sweeps.words import STYLES, ended
from torchvitals.core.finding import Incident

NOT_FACTORS = CIRCUMSTANCES | {"seed", "experiment"}
ALWAYS = ("activation", "init", "optimizer")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The runs that differ in nothing but the seed."""

    values: tuple[str, ...]
    """one for each factor"""
    rows: tuple[Row, ...]

    @property
    def verdict(self) -> str:
        """What most of its runs were found to be; of equally many, the worse."""
        counts = Counter(row.verdict for row in self.rows)
        return max(counts, key=lambda verdict: (counts[verdict], list(STYLES).index(verdict)))

    @property
    def agreeing(self) -> tuple[Row, ...]:
        """The runs with that verdict."""
        return tuple(row for row in self.rows if row.verdict == self.verdict)

    @property
    def root(self) -> Incident | None:
        """The root cause that most of those share, as the first of them has it."""
        roots = [row.root for row in self.agreeing if row.root is not None]
        most = Counter(root.code for root in roots).most_common(1)
        return next((root for root in roots if root.code == most[0][0]), None)

    @property
    def where(self) -> str:
        """The module that most of those name."""
        places = [i.where[0] for i in self._roots() if i.where]
        return Counter(places).most_common(1)[0][0] if places else ""

    @property
    def onset(self) -> int | None:
        """The middle one of their first steps."""
        steps = [i.onset for i in self._roots()]
        return median_low(steps) if steps else None

    @property
    def ends(self) -> tuple[str, ...]:
        """`stopped` and `diverged`, where any of its runs was."""
        return tuple(dict.fromkeys(end for row in self.rows for end in ended(row)))

    @property
    def score(self) -> tuple[float, float | None] | None:
        """Mean and standard deviation over the runs that have a score; no deviation of fewer than two."""
        scores = [row.metrics[row.score] for row in self.rows if row.score in row.metrics]
        if not scores:
            return None
        return fmean(scores), stdev(scores) if len(scores) > 1 else None

    def _roots(self) -> list[Incident]:
        root = self.root
        return [i for row in self.agreeing if (i := row.root) is not None and root and i.code == root.code]


def factors(rows: Sequence[Row]) -> tuple[str, ...]:
    """Keys that a command line set and that differ between the rows; activation and so on if none does."""
    keys = dict.fromkeys(o.lstrip("+~").partition("=")[0] for row in rows for o in row.overrides)
    wanted = [key for key in keys if key.split(".")[0] not in NOT_FACTORS]
    return tuple(key for key in wanted if len({_value(row, key) for row in rows}) > 1) or ALWAYS


def cells(rows: Iterable[Row], by: Sequence[str]) -> list[Cell]:
    """The rows grouped by these factors, in their order."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(_value(row, key) for key in by), []).append(row)
    return [Cell(values=values, rows=tuple(group)) for values, group in groups.items()]


def _value(row: Row, key: str) -> str:
    return str(row.config.get(key, ""))
