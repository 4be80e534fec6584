"""Other tools as judges, on the same trainings and the same truth.

Their rules are written anew from what was published of them, at their own thresholds; the packages whose
names end in a star run themselves, where they are installed (extra `peers`).
"""

from importlib.util import find_spec

from sweeps.scorecard.outcome import Judge
from sweeps.scorecard.peers import (
    audit,
    autotrainer,
    deepchecker,
    deepdiagnosis,
    deeplocalize,
    mortem,
    sagemaker,
    spikes,
    trivial,
    umlaut,
)

REWRITTEN: tuple[Judge, ...] = (
    autotrainer.JUDGE,
    deeplocalize.JUDGE,
    deepdiagnosis.JUDGE,
    umlaut.JUDGE,
    deepchecker.JUDGE,
    sagemaker.JUDGE,
    spikes.JUDGE,
    *trivial.JUDGES,
)
PACKAGES: dict[str, Judge] = {"torchmortem": mortem.JUDGE, "torch_audit": audit.JUDGE}
"""By the module that has to be there."""

PEERS: tuple[Judge, ...] = (*REWRITTEN, *(judge for name, judge in PACKAGES.items() if find_spec(name)))
"""All of them, in the order of the tables."""
