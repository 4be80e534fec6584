"""Without this file conf/diagnostics could not choose who watches a run: nobody, all, or some by name."""

from collections.abc import Iterable, Sequence

from torchvitals.adapters.lightning import VitalsCallback
from torchvitals.core.protocols import Diagnostic, Reporter
from torchvitals.schedule import Schedule


def watched(
    *,
    reporters: Sequence[Reporter],
    only: str | Iterable[str | Diagnostic] | None,
    schedule: Schedule,
    stop_on: str | None,
    strict: bool,
) -> VitalsCallback:
    """The callback that conf/diagnostics describes. Raises ValueError for what cannot be."""
    # A plain string passes, for the library to say what is wrong with it.
    diagnostics = only if only is None or isinstance(only, str) else list(only)
    return VitalsCallback(
        diagnostics=diagnostics, reporters=reporters, schedule=schedule, stop_on=stop_on, strict=strict
    )


def unwatched(*, reporters: Sequence[Reporter]) -> None:
    """No callback: the run goes its way unseen, and its verdict is `not watched`."""
