"""Diagnostics as classifiers: who finds the faults, who accuses the healthy, and who names the cause."""
