"""The rule that DeepLocalize and DeepDiagnosis share: a number that stays the same, look after look."""

from collections import defaultdict


class Unchanging:
    """Numbers by name, of which those are told that have been all the same over a period."""

    def __init__(self, period: int) -> None:
        self._period = period
        self._seen: dict[str, list[float]] = defaultdict(list)

    def add(self, values: dict[str, float]) -> list[str]:
        """Names whose last `period` values are one and the same, once each period."""
        constant = []
        for name, value in values.items():
            seen = self._seen[name]
            seen.append(value)
            if len(seen) == self._period:
                if max(seen) == min(seen):
                    constant.append(name)
                seen.clear()
        return constant
