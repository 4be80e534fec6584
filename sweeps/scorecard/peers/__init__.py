"""Other tools as judges, on the same trainings and the same truth."""

from sweeps.scorecard.outcome import Judge

PEERS: tuple[Judge, ...] = ()
"""All of them, in the order of the tables."""
